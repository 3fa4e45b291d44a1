"""PostgreSQL: all SQL, and the only commit. Queries take a connection first, are named like requirements, never commit.

A statement that each job needs is built once, by a function with ``functools.cache`` whose arguments change its text,
and is executed with parameters. Those have names that no column has that is written: such a one would be set.

``engine``        the engine, what its errors tell, and ``transaction()`` and ``single()``, the only commits
``unreachable``   why there was no connection
``server_checks`` whether the server keeps what it commits, and is the one that was meant
``schema``        what the database is at, and the upgrade
``tables``        the tables of accounts and jobs, a comment on every column
``phases``        what indexes know of a job's state
``indexes``       the indexes of jobs
``records``       the tables of what they have: submits, files, outputs, events
``locks``         which process lives, and which scheduler works
``arrivals``      a job's birth: its row, its files, and who had its identity or key before
``binary``        answers in the driver's binary form
``births``        a job's birth in one statement, where nobody had its identity or key before
``due``           whether a job's next step is due
``jobs``          a job's life: taken, written, found
``under_way``     runs that go on, looked through a page at a time
``overdue``       jobs that nobody works on though they are due
``leases``        who has taken a job
``line``          the jobs that wait as rows, in their order
``turns``         which job is submitted next
``looks``         runs that a look at the request history may tell of
``slots``         requests that may be made: who draws one, whom it goes to
``idle_slots``    those that nobody waits for, each drawn in one statement
``window``        the vendor's request limit, when it is used up
``submissions``   a job's POSTs, each with its intent and its answer
``purchases``     a job is taken with the intent to pay for it in one statement, where nothing is against it
``ownership``     which submit has which run
``doubts``        POSTs that have no answer that tells
``accounts``      who pays, and what holds him
``verdicts``      what his jobs were refused, beside what others were answered
``files``         a job's outputs, and where their bytes are
``blobs``         the files in each store, and the bytes of those that are kept here
``late_facts``    what is known of a run, where it was not written with an end
``particulars``   what a receipt is made of
``outbox``        a job's events, until the broker has them
``at_once``       a job's change with all that goes with it, in one statement
``shares``        runs that jobs share, and who waits for them
``retries``       a job in the place of another
``latest``        runs in the order of their submits
``figures``       what is learnt from the last runs
``usage``         requests that were made, and what they carried
``lineage``       which database this is, and what it lacks of what a process remembers
``clocks``        the database's clock
``put_off``       what a step of it has put off
``endings``       the jobs that have ended, walked through as they did
``retention``     what is deleted
``reading``       what people look at
``local_server``  a PostgreSQL of our own, out of a wheel, for the demo
"""
