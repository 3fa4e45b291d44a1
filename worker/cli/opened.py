"""The database that a command works with."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.config.environment import Settings, load_settings
from worker.database.engine import Engine, create_database_engine
from worker.database.schema import require_schema


@contextmanager
def opened_database() -> Iterator[tuple[Settings, Engine]]:
    """Give the settings, and the engine of a database that has our schema."""
    settings = load_settings()
    engine = create_database_engine(settings.database.url, 2)
    try:
        require_schema(engine)
        yield settings, engine
    finally:
        engine.dispose()
