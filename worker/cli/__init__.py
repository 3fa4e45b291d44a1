"""The command line ``sam3d``: what is asked for on stdout, progress and errors on stderr. A file a command.

``main``        runs what was asked for; a mistake is one line with its fix
``commands``    what can be asked about jobs, and decided: options and help
``letters``     what can be asked about dead letters
``operations``  what can be asked to run the service, or to try it
``options``     the parameters of a run as options
``submit``      ``submit``
``given``       what a person gives, made into a request
``progress``    what is shown while a job is under way
``outcomes``    what is told of jobs that ended
``wait``        ``wait``
``look``        ``jobs``, ``job``
``output``      ``output``
``link``        ``link``
``sealed``      ``receipt``
``previews``    pictures of models and photos: ``--preview``
``report``      ``report``
``page``        pure: the page of a report
``cells``       pure: what that says of a job
``change``      ``cancel``, ``retry``
``review``      ``review``
``account``     ``hold``, ``resume``
``limits``      ``budget``
``dead``        ``dead list``, ``dead show``, ``dead replay``
``serve``       ``worker``, ``scheduler``
``share``       ``files``
``db``          ``db upgrade``, ``db current``
``kept``        ``prune``
``doctor``      ``doctor``
``settings``    ``config``, ``failpoints``
``demo``        ``demo``
``showcase``    what that makes: the service's run for one photo, drawn and told
``call``        ``call``
``paid_run``    what it pays for: from the submit to the files
``simulator``   ``simulator``
``ready``       what a command works with that decides something
``opened``      the database that a command works with
``show``        how tables, values and JSON are printed
``mistakes``    what is said of an error, and its exit code
"""
