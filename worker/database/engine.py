"""The engine, what its errors tell, and ``transaction()`` and ``single()``: the only commits in the code."""

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    DisconnectionError,
    IntegrityError,
    PendingRollbackError,
    ResourceClosedError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as Busy
from sqlalchemy.pool import ConnectionPoolEntry

from worker.database.binary import let_binary
from worker.database.unreachable import Unreachable, tell_why_unreachable
from worker.errors import ConfigurationError

__all__ = ["Connection", "DatabaseError", "Engine"]
"""What others need of SQLAlchemy; everything public here is meant to be imported too."""

DatabaseError = SQLAlchemyError
"""What any query may raise; the edges catch it by this name."""

ANSWER_SECONDS = 10
"""How long the server's next answer is waited for; it gives a statement up before that."""

IDLE_SECONDS = 1.0
"""After which it is asked whether a connection of the pool is there still."""

CONNECT_SECONDS = 5
POOL_SECONDS = 5

_SESSION = (
    "-c timezone=UTC -c statement_timeout=8s -c lock_timeout=6s -c idle_in_transaction_session_timeout=10s "
    # Each query of ours takes less than to compile it.
    "-c jit=off "
    # A host that is gone gives its locks back within half a minute; a process that is frozen in a transaction, sooner.
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)


class BoundedConnection(psycopg.Connection[Any]):
    """A connection on which nothing waits for ever, and which is closed when an answer does not come.

    The kernel of a server that is frozen goes on acknowledging packets, so neither keepalives nor
    ``tcp_user_timeout`` notice it, and ``statement_timeout`` is the server's own.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for the server as psycopg does, for :data:`ANSWER_SECONDS` at most."""
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()  # What the server makes of the statement is not known, nor when it answers.
            raise

    def set_autocommit(self, value: bool) -> None:
        """Have each statement commit by itself, or not, as psycopg does, which goes a long way round to set a flag."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            super().set_autocommit(value)  # It is refused there, in words.
        self._autocommit = value


def create_database_engine(url: str, pool_size: int) -> Engine:
    """Make the process's engine; no connection is opened yet.

    Nothing hangs for longer than 30 s: a connection of the pool is waited for, tried, replaced, and asked.
    ``hide_parameters`` keeps images and prompts out of error messages; server messages can quote values as
    well, so errors are logged by :func:`describe` alone.
    """
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "options": _SESSION,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": ANSWER_SECONDS * 1000,
            "application_name": "sam3d",
        },
    )
    tell_why_unreachable(engine, _connect)
    _try_what_was_idle(engine)
    let_binary(engine)
    return engine


def _try_what_was_idle(engine: Engine) -> None:
    """Have a connection tried before somebody has it, unless it answered just now; one that is gone is replaced.

    A server that ends a connection says so, which is seen without asking; what a network loses within that time fails
    as it does within a transaction.
    """

    def tried(driver: Any, record: ConnectionPoolEntry, _: object) -> None:
        if time.monotonic() - record.info[_ANSWERED_AT] < IDLE_SECONDS and not has_word(driver):
            return
        try:
            engine.dialect.do_ping(driver)
        except psycopg.Error:
            raise DisconnectionError from None

    def note(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_ANSWERED_AT] = time.monotonic()

    event.listen(engine, "connect", note)
    event.listen(engine, "checkin", note)
    event.listen(engine, "checkout", tried)


_ANSWERED_AT = "answered_at"


def has_word(driver: Any) -> bool:
    """Tell whether the server has said something that nobody asked, such as that it ends."""
    waiting = select.poll()
    waiting.register(driver.pgconn.socket, select.POLLIN)
    return bool(waiting.poll(0))


def _connect(*arguments: Any, **parameters: Any) -> BoundedConnection:
    connection = BoundedConnection.connect(*arguments, **parameters)
    connection.execute(_DURABLE)
    connection.commit()
    return connection


_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
"""What this service commits is money: a default of the server that may lose it is not ours, one that keeps more is.

`local` loses it with the machine where a standby takes over. It is asked for in the session, as a pooler may drop the
options of the connection.
"""


def is_outage(error: Exception) -> bool:
    """Tell a database that can't work now from a value that it will never take."""
    if isinstance(error, DBAPIError):
        return not isinstance(error, DataError | IntegrityError) and not sqlstate(error).startswith(_TOO_MUCH)
    # Whatever else SQLAlchemy raises is a mistake of ours, or a value that can't be sent: it would come again for ever.
    return isinstance(error, _LOST)


_LOST = (Busy, DisconnectionError, PendingRollbackError, ResourceClosedError)
"""What SQLAlchemy itself says of a pool that is empty and of a connection that is gone."""

_TOO_MUCH = "54"
"""PostgreSQL's class of errors for what is too large or too complex (its manual, appendix A)."""


def sqlstate(error: BaseException) -> str:
    """Return PostgreSQL's five-character code of an error, or nothing where it gave none."""
    return getattr(error.orig, "sqlstate", None) or "" if isinstance(error, DBAPIError) else ""


def on_connect(engine: Engine, check: Callable[[Any], None]) -> None:
    """Have each new connection of the driver checked before anybody has it; a check that fails keeps nobody from it."""

    def checked(driver: Any, _: object) -> None:
        try:
            check(driver)
        except psycopg.Error:
            with suppress(psycopg.Error):
                driver.rollback()

    event.listen(engine, "connect", checked)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose work is committed at the end, or undone by an exception."""
    with engine.begin() as connection:
        connection.info[_ONCE_COMMITTED] = []
        yield connection
        acts = connection.info.pop(_ONCE_COMMITTED)
    for act in acts:
        act()


@contextmanager
def single(engine: Engine) -> Iterator[Connection]:
    """Give a connection for one statement, which commits by itself: neither BEGIN nor COMMIT is waited for.

    A second one would not be of one piece with it. The driver is told by itself, which takes a third of what SQLAlchemy
    takes to set its isolation level and back.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        try:
            yield connection
        finally:
            _have_transactions(connection, driver)


def _have_transactions(connection: Connection, driver: Any) -> None:
    """Let nobody get a connection that commits by itself: one of which that can't be told is given up."""
    try:
        driver.autocommit = False
    except psycopg.Error:
        connection.invalidate()


def once_committed(connection: Connection, act: Callable[[], object]) -> None:
    """Do something after the transaction, such as to log what it did; if it is undone, nothing was done."""
    connection.info[_ONCE_COMMITTED].append(act)


_ONCE_COMMITTED = "once_committed"


def describe(error: BaseException) -> str:
    """Tell a database error by its class and SQLSTATE, never by its text, which may quote values.

    Where there was no connection yet, there was no value: then it is told where to and why.
    """
    if isinstance(error, DBAPIError) and isinstance(error.orig, Unreachable):
        return str(error.orig)
    return f"{type(error).__name__} {sqlstate(error)}".strip()


def refusal(error: BaseException) -> ConfigurationError:
    """Make the one line for whoever has asked for something that needs the database."""
    return ConfigurationError(
        f"The database refuses ({describe(error)}): check SAM3D_DATABASE_URL and that PostgreSQL runs."
    )


def ping(engine: Engine) -> None:
    """Ask the database for nothing; raises where it does not answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
