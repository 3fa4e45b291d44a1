"""3D models from photos: a message in, an event out, and a slow, paid, poll-only API in between.

The files, in the order a job travels:

``app``            builds everything: the Celery app, exchanges and queues, the engine, the vendor's client
``broker``         RabbitMQ: its names and shapes, publishing, dead letters
``config``         one frozen settings object, from the environment
``client``         what a Python producer imports: submit, wait, download
``intake``         message in: from the wire to a row
``tasks``          the Celery tasks, in flow order
``vendor``         the paid API
``network``        which hosts may be reached, and until when
``places``         pure: which IP addresses are public
``database``       PostgreSQL: all SQL, and the only commit
``events``         event out: what each announcement says
``rules``          pure: all that is decided
``work``           one job, one step
``upkeep``         what the clock does
``telemetry``      logs, probes, metrics, and places to die
``outputs``        the files that were made
``errors``         the error tree
``cli``            the command line
``photos``         what the demo starts from
``demo``           the whole service in one process, on nothing but this machine
``simulator``      a local stand-in for the vendor; knows nothing of the rest
"""

__version__ = "0.1.0"
