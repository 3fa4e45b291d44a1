"""The engine, the schema's version, and ``transaction()``: the only commit in the code."""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Dialect, Engine, create_engine, event, text
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

from worker.config import is_loopback
from worker.errors import ConfigurationError

__all__ = ["Connection", "DatabaseError", "Engine"]
"""What others need of SQLAlchemy; everything public here is meant to be imported too."""

SCHEDULER_LOCK = 0x5A3D0001
"""The advisory lock under which one scheduler works."""

DatabaseError = SQLAlchemyError
"""What any query may raise; the edges catch it by this name."""

ANSWER_SECONDS = 10
"""How long the server's next answer is waited for; it gives a statement up before that."""

CONNECT_SECONDS = 5
KEPT_SECONDS = 2.0
POOL_SECONDS = 5
LONGEST_REASON = 200

_SESSION = (
    "-c timezone=UTC -c statement_timeout=8s -c lock_timeout=6s -c idle_in_transaction_session_timeout=10s "
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
        pool_pre_ping=True,
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
    return engine


def _connect(*arguments: Any, **parameters: Any) -> BoundedConnection:
    connection = BoundedConnection.connect(*arguments, **parameters)
    connection.execute(_DURABLE)
    connection.commit()
    return connection


class Unreachable(psycopg.OperationalError):
    """No connection was made; the text says where to and why, and holds no secret and no value."""


def tell_why_unreachable(engine: Engine, connect: Callable[..., Any]) -> None:
    """Have an engine connect by a function of the driver, and tell in a line why that fails."""

    def connect_or_tell(_: Dialect, __: object, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
        try:
            return connect(*arguments, **parameters)
        except psycopg.Error as error:
            raise Unreachable(_why_unreachable(str(error), parameters)) from None

    event.listen(engine, "do_connect", connect_or_tell)


def _why_unreachable(said: str, parameters: Mapping[str, Any]) -> str:
    """Say which server was not had and why, from the first line of what libpq says.

    Part of that may be the server's own words: whoever answers there gets no control characters through, and no echo
    of the password.
    """
    reason = said.partition("\n")[0].rpartition(" failed: ")[2].removeprefix("connection is bad: ")
    reason = "".join(each if each.isprintable() else " " for each in reason)[:LONGEST_REASON]
    if password := str(parameters.get("password") or ""):
        reason = reason.replace(password, "…")
    return f"{parameters.get('host', 'the local socket')}:{parameters.get('port', 5432)}: {reason}"


_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
"""What this service commits is money: a default of the server that may lose it is not ours, one that keeps more is.

`local` loses it with the machine where a standby takes over. It is asked for in the session, as a pooler may drop the
options of the connection.
"""


def require_durable(engine: Engine) -> None:
    """Check that the server keeps what it commits through a crash of its machine, as far as it can be seen.

    Raises:
        ConfigurationError: says which setting is off.
        DatabaseError: the database can't be asked.
    """
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT name FROM pg_settings WHERE name = ANY(:names) AND setting = 'off'"), _KEEP
        )
        if off := sorted(found.scalars()):
            raise ConfigurationError(f"PostgreSQL runs with {' and '.join(f'{name}=off' for name in off)}.")


_KEEP = {"names": ["fsync", "full_page_writes"]}


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


def _migrations() -> Path:
    packaged = Path(__file__).parent / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "migrations"


def _alembic(url: str) -> Any:
    from alembic.config import Config  # Only an upgrade needs it, and it takes a third of a second to import.

    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the schema up to date; safe to run twice, and by several at once."""
    from alembic import command

    command.upgrade(_alembic(url), "head")


def schema_version(engine: Engine) -> str | None:
    """Return the revision that the database is at, or None where it has no schema."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this code knows, the one it is made for first; each is the number of its file."""
    return tuple(sorted((file.name[:4] for file in _migrations().glob("versions/[0-9]*.py")), reverse=True))


def require_schema(engine: Engine) -> None:
    """Check that the schema is at least as new as this code: one that it does not know yet is newer.

    Raises:
        ConfigurationError: the schema is older; says which command to run.
        DatabaseError: the database can't be asked.
    """
    found = schema_version(engine)
    if found is None or found in revisions()[1:]:
        raise ConfigurationError(
            f"The database is at schema {found or 'none'}, this version needs {revisions()[0]}: run `sam3d db upgrade`."
        )


def refusal(error: BaseException) -> ConfigurationError:
    """Make the one line for whoever has asked for something that needs the database."""
    return ConfigurationError(
        f"The database refuses ({describe(error)}): check SAM3D_DATABASE_URL and that PostgreSQL runs."
    )


def why_unverified(engine: Engine) -> str | None:
    """Say why whoever is on the way to the database could be taken for it; nobody is on the way to this machine.

    Raises:
        DatabaseError: the database can't be asked.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        mode = driver.info.get_parameters().get("sslmode", "prefer")
        return why_not_verified(driver.info.hostaddr, mode, has_tls=driver.pgconn.ssl_in_use)


def why_not_verified(address: str, mode: str, *, has_tls: bool) -> str | None:
    """Judge a connection by the server's address, which a socket of this machine has none of, and by libpq's mode."""
    if not address or is_loopback(address) or (has_tls and mode == "verify-full"):
        return None
    return (
        f"Nothing verifies that it is PostgreSQL who answers (sslmode={mode}): "
        "end SAM3D_DATABASE_URL with ?sslmode=verify-full&sslrootcert=FILE."
    )


def ping(engine: Engine) -> None:
    """Ask the database for nothing; raises where it does not answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


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
        """Return the lock's key, having made sure that the lock is held."""
        if not self._guard.acquire(timeout=POOL_SECONDS):
            raise Busy("another thread is waiting for the session's connection")
        try:
            if self._connection and not _answers(self._connection):
                self._connection = None
            self._connection = self._connection or self._take()
            return self._key
        finally:
            self._guard.release()

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
        return connection.execute(text("SELECT true")).scalar() is True
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
