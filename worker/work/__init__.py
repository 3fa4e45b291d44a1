"""One job, one step: load, run, decide, record, announce, and send what follows. And what a person decides.

``services``    what a step works with
``office``      what a decision works with: settings, database, post
``executor``    one job, one step; returns the message that follows
``running``     a step is run, and what follows is sent or gone on with
``taking``      a job whose step is due is taken, under a lease
``drawing``     a step's request gets a slot of the request budget, or its job waits for one
``intent``      money: a submit is written down before its first byte
``buying``      money: that a submit is written down in one statement, where nothing is against it
``enclosing``   the photos that go with a submit, as addresses made for it or as their bytes
``steps``       what each step does to the outside world; returns an ``Outcome``
``reactions``   what an error of a step makes of its job
``looking``     look at a run: its status and its result, in one request where that is enough
``collecting``  every file that is whole is kept, and what becomes of the others
``recording``   what a step learnt is committed: in one statement, or by what follows
``reads``       what a read of a run found is committed, and whether its worker goes on with the job at once
``ledger``      money: what came back to a submit, whatever became of its job
``changes``     a change of a job: its row, its files, its event and the message that follows
``begin``       a job begins: its row, its files, its event; or its share in a run
``shared_runs`` a run that several jobs share: each of them is told what became of it
``ends``        how a job's end is logged
``post``        what follows a commit: events are announced, the next message is sent
``outgoing``    what waits for the one thread of its process that publishes, all that waits at once
``marks``       which events are out is written, of several at once
``receipts``    a job's receipt is made, signed, and kept beside its model
``outlook``     what a process goes by for some seconds: the plan of polls and the budget
``limiting``    the vendor's request limit is used up for a while, and what that teaches
``holding``     an account is stopped and goes on again
``judging``     whose trouble a refusal is, from what others were answered
``conclusion``  what is known of a submit without an answer, and what a proof makes of its job
``adopting``    runs that the ledger lost get back to their jobs
``mixups``      runs that were given to the wrong job, or to two, are given back
``expecting``   what makes the sweep come sooner: who is gone, which messages are lost
``noticing``    a database that lacks what was committed was set back
``memory``      what this process remembers of the database
``room``        how much a process has in hand: bytes of photos, and what waits for a slot
``decisions``   what a person decides about a job that nobody can tell the fate of
``cancelling``  a job that its caller gives up
``retrying``    a new job in the place of one that failed or was cancelled
"""
