"""The schema's version: what the database is at, what this code needs, and the upgrade from one to the other."""

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from worker.errors import ConfigurationError


def _migrations() -> Path:
    packaged = Path(__file__).parents[1] / "_migrations"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "migrations"


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


def version(engine: Engine) -> str | None:
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
    found = version(engine)
    if found is None or found in revisions()[1:]:
        raise ConfigurationError(
            f"The database is at schema {found or 'none'}, this version needs {revisions()[0]}: run `sam3d db upgrade`."
        )
