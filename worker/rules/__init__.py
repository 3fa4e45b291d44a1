"""Pure: all that is decided. No I/O, no clock, no randomness, no library but Python's own.

``untrusted``    JSON that a stranger wrote, read within bounds
``urls``         what a URL of a setting must be
``signing``      a link to a file, and whether it is ours
``origin``       who sent a request, and what its message's properties ask for
``asks``         what a message can ask of a job that is there
``lifecycle``    the states of a job and the table of its transitions
``job``          a job's row as a step sees it
``output_files`` an output as a file: downloaded, and stored
``outcome``      what a step learnt and reports, and what that makes of a job
``plain``        whether a change is of its job alone, so that one statement can write all that goes with it
``onward``       which step a worker takes at once of a job that it has in hand, without a message to itself
``receipt``      what a receipt says of a job
``geometry``     what is in a model: its triangles, its corners, its box
``request_id``   the vendor's id of a run, in one writing
``presigned``    addresses of ours that photos are sent as: their marks, and how long they are good
``run``          the vendor's run: what its API and its request history say of one
``plan``         when to look at a run next
``retry``        when to try again, when a request limit opens
``survival``     how long runs take, learnt from the last ones
``budget``       how far apart requests are, what one is worth, how many jobs they carry
``addresses``    the addresses in an answer, and what their ends say of the files there
``expiry``       when a run is given up that the vendor does not know
``standing``     whose trouble a refusal is, the account's or one job's
``habits``       how the request history shows inputs and times, learnt from submits that were answered
``naming``       which submit a run names by such an address
``evidence``     what it says of a submit without an answer
``proof``        what that can be: found, absent, or what is missing to tell
``pairing``      runs that the ledger lost, and the waiting jobs that they may be of
"""
