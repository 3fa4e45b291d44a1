"""The database's schema: ``db``."""

from worker.cli.show import print_json, print_table, say
from worker.config.environment import load_settings
from worker.database import schema
from worker.database.engine import create_database_engine


def upgrade() -> None:
    """Bring the schema up to date; safe to run twice, and by several at once."""
    settings = load_settings()
    schema.upgrade(settings.database.url)
    say(f"schema {schema.revisions()[0]}")


def current(*, as_json: bool) -> None:
    """Show the schema that the database has and the one this version needs."""
    settings = load_settings()
    engine = create_database_engine(settings.database.url, 1)
    found = {
        "database": schema.version(engine),
        "needed": schema.revisions()[0],
    }
    engine.dispose()
    if as_json:
        print_json(found)
    else:
        print_table([found], list(found))
