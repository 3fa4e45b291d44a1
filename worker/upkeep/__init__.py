"""What the clock does: what was left behind is found and goes on.

``scheduler``    the loop: compare, release, look, relay, probe, reconcile, sweep, prune
``compare``      a database that may have been set back, with the vendor's history
``clock_steps``  brings back what a step of the database's clock has put off
``readers``      since when a queue has messages and no reader
``bulk``         look at many runs at once, in the request history
``probe``        a held account is tried
``lookup``       a look at a time in the history, and all that is known of that time
``reconcile``    what became of submits without an answer
``prune``        what is old is deleted, and photos that no job needs
"""
