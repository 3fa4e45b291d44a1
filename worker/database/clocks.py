"""The database's clock, which sets all times."""

from datetime import datetime

from sqlalchemy import Connection, select

from worker.database.tables import now


def read(connection: Connection) -> datetime:
    """Return the database's time."""
    return connection.execute(select(now)).scalar_one()
