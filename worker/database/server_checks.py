"""What a person is told of the server: whether it keeps what it commits, and whether it is the one that was meant."""

from typing import Any

from sqlalchemy import Engine, text

from worker.errors import ConfigurationError
from worker.rules.urls import is_loopback


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
