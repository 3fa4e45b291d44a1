"""A module's lines of the log: constant events, with data in keywords.

What writes them is imported with the first that is written: it takes a seventh of the time in which a command starts,
and most commands write none.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from logging import CRITICAL, DEBUG, ERROR, INFO, NOTSET, WARNING
from typing import Any


@dataclass
class Hearing:
    """From which level on lines are written, and what is to be done before the first of them."""

    least: int = NOTSET
    before_first: Callable[[], None] | None = None


HEARING = Hearing()


class Log:
    """Writes the lines of one module, under its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    @cached_property
    def _lines(self) -> Any:
        import structlog

        return structlog.get_logger(self._name)

    def log(self, level: int, event: str, **data: Any) -> None:
        """Write a line of a level."""
        if level < HEARING.least:
            return
        if prepare := HEARING.before_first:
            prepare()
        self._lines.log(level, event, **data)

    def debug(self, event: str, **data: Any) -> None:
        """Write what only who seeks a mistake wants to know."""
        self.log(DEBUG, event, **data)

    def info(self, event: str, **data: Any) -> None:
        """Write what went on."""
        self.log(INFO, event, **data)

    def warning(self, event: str, **data: Any) -> None:
        """Write what somebody may have to do something about."""
        self.log(WARNING, event, **data)

    def error(self, event: str, **data: Any) -> None:
        """Write what went wrong."""
        self.log(ERROR, event, **data)

    def exception(self, event: str, **data: Any) -> None:
        """Write what went wrong, with the error that is being handled."""
        self.log(ERROR, event, exc_info=True, **data)

    def critical(self, event: str, **data: Any) -> None:
        """Write what ends the process."""
        self.log(CRITICAL, event, **data)


def bind_contextvars(**data: Any) -> None:
    """Have the lines of this context say more, from now on."""
    import structlog

    structlog.contextvars.bind_contextvars(**data)


def bound_contextvars(**data: Any) -> AbstractContextManager[None]:
    """Have the lines of a block say more."""
    import structlog

    return structlog.contextvars.bound_contextvars(**data)
