"""The paid API: its calls, and what comes back as typed values.

``api``       submit, poll, fetch: the calls
``body``      pure: the body of a submit, written piece by piece
``received``  pure: an answer as it came over the wire
``answers``   pure: answers as typed values
``refusals``  pure: what the other answers mean, as errors
``quoting``   pure: what the vendor says to people, without what it may quote
``verbatim``  pure: what the vendor said of a run, as it is kept and as it is shown
``history``   pure: the request history as typed rows
``paging``    pure: the pages of it that a look reads, in as many turns as it takes
``following`` a run that one caller waits for, without a job
``lost``      which runs of the history a submit without an answer may have started
"""
