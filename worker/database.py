"""The engine, the schema's version, and ``transaction()``: the only commit in the code."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from worker.errors import ConfigurationError

__all__ = ["Connection", "DatabaseError", "Engine"]
"""What others need of SQLAlchemy; everything public here is meant to be imported too."""

SCHEDULER_LOCK = 0x5A3D0001
"""The advisory lock under which one scheduler works."""

DatabaseError = SQLAlchemyError
"""What any query may raise; the edges catch it by this name."""

_SESSION = "-c timezone=UTC -c statement_timeout=20s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"


def create_database_engine(url: str, pool_size: int) -> Engine:
    """Make the process's engine; no connection is opened yet.

    ``hide_parameters`` keeps images and prompts out of error messages; server messages can quote values as
    well, so errors are logged by :func:`describe` alone.
    """
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=20,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 10,
            "options": _SESSION,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "application_name": "sam3d",
        },
    )


def is_outage(error: Exception) -> bool:
    """Tell a database that can't work now from a value that it will never take."""
    return isinstance(error, SQLAlchemyError) and not isinstance(error, DataError | IntegrityError)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose work is committed at the end, or undone by an exception."""
    with engine.begin() as connection:
        yield connection


def describe(error: BaseException) -> str:
    """Tell a database error by its class and SQLSTATE, never by its text, which may quote values."""
    sqlstate = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return f"{type(error).__name__} {sqlstate or ''}".strip()


def _alembic(url: str) -> Config:
    packaged = Path(__file__).parent / "_migrations"
    config = Config()
    config.set_main_option(
        "script_location", str(packaged if packaged.is_dir() else Path(__file__).parents[1] / "migrations")
    )
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> None:
    """Bring the schema up to date; safe to run twice, and by several at once."""
    command.upgrade(_alembic(url), "head")


def schema_version(engine: Engine) -> str | None:
    """Return the revision that the database is at, or None where it has no schema."""
    with engine.connect() as connection:
        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this code knows, the one it is made for first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_alembic("")).walk_revisions())


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


def ping(engine: Engine) -> None:
    """Ask the database for nothing; raises where it does not answer."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


@contextmanager
def leader(engine: Engine, key: int) -> Iterator[Callable[[], bool]]:
    """Try for an advisory lock; give a function that tells whether it is ours still.

    The lock is the session's: it goes with the connection, so a process that died does not keep it.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        held = connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}).scalar()

        def is_leader() -> bool:
            return bool(held) and connection.execute(text("SELECT true")).scalar() is True

        try:
            yield is_leader
        finally:
            connection.invalidate()
