"""The settings, from the environment only: a group a topic, each setting with its variable, default and meaning.

``environment``  all settings, and how they are read
``access``       how what is outside is reached: vendor, broker, database, hosts of outputs
``conduct``      how the service works: budget, run, upkeep, history, submit, intake, storage, process, telemetry
``kinds``        what a setting may be: seconds, an address, a list of hosts
"""
