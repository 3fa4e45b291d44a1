"""Ports that a command listens on."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.errors import ConfigurationError


@contextmanager
def listening(setting: str, port: int) -> Iterator[None]:
    """Name the port that can't be listened on, and what sets it.

    Raises:
        ConfigurationError: it is taken, or not allowed.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).partition(" (while ")[0]  # Python may go on with the address.
        raise ConfigurationError(f"{setting}: nothing can listen on port {port}: {reason}.") from None
