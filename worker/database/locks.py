"""PostgreSQL's advisory locks: which process lives, and which scheduler works."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from math import inf

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as Busy

from worker.database.engine import IDLE_SECONDS, POOL_SECONDS, has_word

SCHEDULER_LOCK = 0x5A3D0001
"""The advisory lock under which one scheduler works."""

KEPT_SECONDS = 2.0
"""Between two looks whether a lock is held still."""


class Session:
    """An advisory lock that this process holds while it lives: who finds it free knows that the process has ended.

    It is the connection's, so it goes with the process. After the database was away it is taken again by :meth:`key`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._key = secrets.randbits(62)
        self._guard = threading.Lock()
        self._connection: Connection | None = None
        self._closed = threading.Event()
        self._answered_at = -inf

    def keep(self) -> None:
        """Take the lock again soon after the database was away, on a thread of its own: we must not seem dead."""
        threading.Thread(target=self._keep, name="session", daemon=True).start()

    def _keep(self) -> None:
        while not self._closed.wait(KEPT_SECONDS):
            with suppress(SQLAlchemyError):
                self.key()

    def taken_key(self) -> int:
        """Return the lock's key as it was last seen to be held; a read that is made twice does no harm."""
        return self._key if self._connection else self.key()

    def key(self) -> int:
        """Return the lock's key, having made sure that the lock is held: a second ago at most.

        A server that ends the connection says so at once; what it can't say, :meth:`keep` finds out in time.
        """
        if not self._guard.acquire(timeout=POOL_SECONDS):
            raise Busy("another thread is waiting for the session's connection")
        try:
            if self._connection and not self._is_held(self._connection):
                self._connection = None
            self._connection = self._connection or self._take()
            return self._key
        finally:
            self._guard.release()

    def _is_held(self, connection: Connection) -> bool:
        if time.monotonic() < self._answered_at + IDLE_SECONDS and not has_word(
            connection.connection.driver_connection
        ):
            return True
        self._answered_at = time.monotonic()
        return _answers(connection)

    def _take(self) -> Connection:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": self._key})
        except SQLAlchemyError:
            _drop(connection)
            raise
        return connection

    def close(self) -> None:
        """Let the lock go."""
        self._closed.set()
        with self._guard:
            if self._connection:
                _drop(self._connection)
            self._connection = None


def _answers(connection: Connection) -> bool:
    """Tell whether a connection is still there; one that is not is dropped."""
    try:
        return connection.exec_driver_sql("SELECT true").scalar() is True
    except SQLAlchemyError:
        _drop(connection)
        return False


def _drop(connection: Connection) -> None:
    """Close a connection for good, with the locks that it holds."""
    connection.invalidate()
    connection.close()


def live_sessions(connection: Connection) -> set[int]:
    """Return the keys of the sessions whose process lives, of all that can be seen in the database's locks."""
    query = text(
        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks "
        "WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return set(connection.execute(query).scalars())


@contextmanager
def leader(engine: Engine, key: int, silence: timedelta) -> Iterator[Callable[[], bool]]:
    """Try for an advisory lock; give a function that tells whether it is ours still.

    The lock is the session's: it goes with the connection, so a process that died does not keep it, nor one that
    is frozen and does not ask for as long as ``silence``.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"SET idle_session_timeout = {round(silence.total_seconds() * 1000)}"))
        held = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()

        def is_leader() -> bool:
            return bool(held) and connection.execute(text("SELECT true")).scalar() is True

        try:
            yield is_leader
        finally:
            connection.invalidate()
