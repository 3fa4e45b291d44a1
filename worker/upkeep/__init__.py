"""What the clock does: what was left behind is found and goes on. A file a duty.

``scheduler``    the loop of whoever leads
``readers``      since when a queue has messages and no reader
``duties``       what is done, in which order
``clock_steps``  what a step of the database's clock has put off is brought back
``survey``       what is to be done about the runs that are under way
``compare``      a database that may have been set back, with the vendor's history
``release``      the submits that the request budget can carry
``relay``        events that were not got out
``probe``        a held account is tried
``reconcile``    what became of submits without an answer
``bench``        what judges doubted submits: the history, read once for all
``settling``     what a proof says of a job is committed
``lookup``       a look at a time in the history, and all that is known of that time
``sweep``        rows that nobody works on though they are due
``bulk``         many runs at once, in the request history
``holdings``     how many files are stored, for Prometheus
``prune``        what is old is deleted, and photos that no job needs
"""
