"""The servers the tests talk to: a PostgreSQL and a RabbitMQ that belong to one test run and end with it."""
