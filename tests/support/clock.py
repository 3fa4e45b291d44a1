"""The database's clock in a test's hand: it goes on from the machine's time, or stands still until it is told."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from worker.database.engine import Engine, transaction

_TAKEN_OVER = """
CREATE TABLE IF NOT EXISTS test_clock AS SELECT CAST(NULL AS timestamptz) AS stands_at, interval '0' AS ahead;
CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE
AS $$SELECT coalesce(stands_at, clock_timestamp()) + ahead FROM test_clock$$
"""
"""To turn the clock is to write a row: a function that changed would have every statement planned anew."""


class Clock:
    """What ``sam3d_now()`` says in one database, from now on."""

    def __init__(self, engine: Engine, *, stands_still: bool = False) -> None:
        self._engine = engine
        self._stands_at = datetime.now(UTC) if stands_still else None
        self._ahead = timedelta(0)
        with transaction(engine) as connection:
            connection.execute(text(_TAKEN_OVER))
        self.advance(timedelta(0))

    @property
    def time(self) -> datetime:
        """The time by this clock."""
        return (self._stands_at or datetime.now(UTC)) + self._ahead

    def advance(self, by: timedelta) -> None:
        """Let time pass; a negative step turns it back."""
        self._ahead += by
        row = {"stands_at": self._stands_at, "ahead": self._ahead}
        with transaction(self._engine) as connection:
            connection.execute(text("UPDATE test_clock SET stands_at = :stands_at, ahead = :ahead"), row)
