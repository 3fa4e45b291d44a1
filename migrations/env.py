"""Runs the migrations in one transaction, one runner at a time, with time-outs that spare a busy database."""

import psycopg
from alembic import context
from sqlalchemy import create_engine, pool, text

from worker.database import records  # noqa: F401 - Its tables are among the metadata.
from worker.database.tables import metadata
from worker.database.unreachable import tell_why_unreachable

MIGRATION_LOCK = 0x5A3D0000


def _run_offline() -> None:
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def _run_online() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _migrate(given)
        return
    engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool, hide_parameters=True)
    tell_why_unreachable(engine, psycopg.connect)
    with engine.begin() as connection:
        # Whoever comes second waits here until the first has committed, and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        _migrate(connection)


def _migrate(connection) -> None:  # type: ignore[no-untyped-def]  # Alembic's own tests give their connection.
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
