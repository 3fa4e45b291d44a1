"""3D models from photos: a message in, an event out, and a slow, paid, poll-only API in between.

The files, in the order a job travels:

``app``            builds everything: the Celery app, exchanges and queues, the engine, the vendor's client
``broker``         RabbitMQ: its names and shapes, publishing, dead letters
``config``         one frozen settings object, from the environment
``files``          a file that was made, on a disk: complete or not there
``client``         what a Python producer imports: submit, wait, download
``intake``         message in: from the wire to a row
``tasks``          the Celery tasks, in flow order
``executor``       one job, one step: load, run, decide, record, reschedule
``changes``        a change of a job: its row, its event and the message that follows
``ledger``         the ledger of money: the intent before each POST, its answer after
``steps``          what each step does to the outside world; returns an ``Outcome``
``looking``        look at a run: its status and its result, in one request where that is enough
``room``           how many bytes of photos a process has in hand
``office``         what a decision works with: settings, database, post
``services``       what a step works with
``outlook``        what a process goes by for some seconds: the plan of polls and the budget
``vendor``         the paid API
``lookup``         a look at a time in it, and all that is known of that time
``bulk``           look at many runs at once, in the request history
``conclusion``     what is known of a submit without an answer, and what a proof makes of its job
``mixups``         give back: runs that were given to the wrong job, or to two
``reconcile``      look up: what became of submits without an answer
``judging``        judge: the same of each answer, from what others were answered
``holding``        hold: an account is stopped and goes on again
``memory``         what this process remembers of the database
``noticing``       notice: a database that lacks what was committed was set back
``comparing``      compare: a database that may have been set back, with the vendor's history
``adopting``       adopt: runs that the ledger lost get back to their jobs
``probing``        probe: a held account is tried
``pruning``        prune: what is old is deleted, and photos that no job needs
``cancelling``     cancel: a job that its caller gives up
``limiting``       the vendor's request limit is used up for a while, and what that teaches
``retrying``       retry: a new job in the place of one that failed or was cancelled
``review``         what a person decides about a job that nobody can tell the fate of
``network``        which hosts may be reached, and until when
``places``         pure: which IP addresses are public
``database``       PostgreSQL: all SQL, and the only commit
``collecting``     collect: every file that is whole is kept, and what becomes of the others
``storage``        where output bytes go
``kinds``          what a downloaded file is, by its bytes
``containers``     pure: whether the parts of a GLB or a ZIP fit together
``post``           what follows a commit: events are announced, the next message is sent
``events``         event out: what each announcement says
``clocks``         brings back what a step of the database's clock has put off
``leases``         what makes the sweep come sooner: who is gone, which messages are lost
``readers``        since when a queue has messages and no reader
``scheduler``      the loop that compares, releases, looks, relays, probes, reconciles, sweeps and prunes
``rules``          pure: all that is decided
``errors``         the error tree
``observability``  structured logs
``legible``        pure: what others wrote, for a person's terminal
``usage``          what the request budget is used for: for people and as metrics
``failpoints``     named places where a process can be made to die, for tests
``watchdog``       ends a process whose loop has stalled
``health``         the probe server
``cli``            the command line
``photos``         what the demo starts from
``demo``           the whole service in one process, on nothing but this machine
``preview``        a picture of a GLB, rendered on the CPU
``simulator``      a local stand-in for the vendor; knows nothing of the rest
"""

__version__ = "0.1.0"
