"""What is told of a process: logs, probes, metrics; and the places where it can be made to die.

``logs``          structured logs: JSON on one line, or colours on a terminal
``errors_alone``  the log of a command, which most commands never write
``legible``       pure: what others wrote, for a person's terminal
``health``        the probe server
``ports``         ports that a command listens on
``watchdog``      ends a process whose loop has stalled
``metrics``       what the request budget is used for: for people and as metrics
``failpoints``    named places where a process can be made to die, for tests
"""
