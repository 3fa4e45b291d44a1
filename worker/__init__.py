"""3D models from photos: a message in, an event out, and a slow, paid, poll-only API in between.

The folders and files, in the order a job travels:

``client``     what a Python producer imports: submit, wait, download
``intake``     message in: from the wire to a job's row
``tasks``      the Celery tasks: the front door
``work``       one job, one step; and what a person decides
``rules``      pure: all that is decided
``vendor``     the paid API: its calls, its answers as typed values
``outputs``    the files that were made
``gate``       pure: what a file is, and whether it is a sound model
``events``     event out
``upkeep``     what the clock does: what was left behind goes on
``database``   PostgreSQL: all SQL, and the only commit
``broker``     RabbitMQ: its names and shapes, publishing, dead letters
``network``    which hosts may be reached, and until when
``resolver``   where a host is, within a time
``places``     pure: which hosts are allowed, which addresses are public, and how long one may be
``telemetry``  logs, probes, metrics, and places to die
``config``     the settings, from the environment
``errors``     the error tree
``log``        a module's lines of the log
``boot``       how any process starts: logs, probes, schema, topology
``app``        composition root: the services of a process, and its Celery app
``embedded``   the whole service in one process, on nothing but this machine
``cli``        the command line
``photos``     what the demo starts from
``viewer``     what a report shows models with: Google's ``<model-viewer>``, and our page around it
``simulator``  a local stand-in for the vendor; knows nothing of the rest

Five to read first: ``rules/lifecycle`` (the states, and the table that moves a job), ``work/executor`` (one step),
``work/steps`` (what it does outside), ``work/changes`` (what is committed), ``upkeep/scheduler`` (what else goes on).
"""

__version__ = "0.1.0"
