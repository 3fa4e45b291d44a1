"""Structured logs: JSON on one line, or colours on a terminal; every library's lines included, nothing secret."""

import json
import logging
import os
import sys
import threading
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from types import TracebackType
from typing import Any, TextIO

import structlog

from worker.log import HEARING, Log
from worker.telemetry.legible import legible

QUIET = {
    "celery.pool": logging.WARNING,  # At DEBUG it logs the arguments of tasks.
    "httpx": logging.WARNING,  # It logs whole URLs.
    "httpcore": logging.WARNING,
    "amqp": logging.WARNING,  # At DEBUG it logs message bodies.
    "kombu": logging.WARNING,
    "celery.app.trace": logging.WARNING,  # Our own lines say what a task did.
    "celery.worker.strategy": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "PIL": logging.WARNING,
    "asyncio": logging.WARNING,
    "aiohttp": logging.WARNING,
}
"""The least level at which these are heard, whatever SAM3D_LOG_LEVEL says."""


def configure_logging(level: str, *, is_console: bool | None = None) -> None:
    """Send every log line of the process to standard error, through one formatter."""
    HEARING.least, HEARING.before_first = logging.NOTSET, None  # What is too low is told by structlog.
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderers = _renderers(is_console=sys.stderr.isatty() if is_console is None else is_console)
    handler = logging.StreamHandler(sys.stderr)
    structlog.configure(
        processors=[*shared, _as_it_is],
        logger_factory=partial(_Lines, handler, renderers),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[drop, *renderers]))
    logging.captureWarnings(capture=True)
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))


class _Lines:
    """Writes our own lines where the handler writes those of libraries: ``logging`` would take as long again for each.

    It makes two records of one, and looks up who called. As there, a line that can't be written breaks nothing.
    """

    def __init__(self, handler: "logging.StreamHandler[TextIO]", renderers: Sequence[Any], name: str) -> None:
        self.name = name
        self._handler, self._renderers = handler, renderers

    def write(self, line: Any) -> None:
        """Write a line; one at a time, whoever writes."""
        try:
            for render in self._renderers:
                line = render(self, "", line)
            self._handler.acquire()
            try:
                self._handler.stream.write(f"{line}\n")
                self._handler.flush()
            finally:
                self._handler.release()
        except Exception:
            self._handler.handleError(logging.makeLogRecord({"name": self.name, "msg": "a line was not written"}))

    debug = info = warning = error = critical = write


def _as_it_is(_: Any, __: str, line: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand a line on before it is rendered."""
    return (line,), {}


def _what_is_read_first(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Begin a line with when, how grave and what."""
    return {name: line.pop(name, None) for name in ("timestamp", "level", "event")} | dict(line)


def _for_eyes(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let nothing in a line steer the terminal; what is no text is written by its ``repr``, which does so itself."""
    return {legible(name): legible(each) if isinstance(each, str) else each for name, each in line.items()}


def _tell_traceback(target: TextIO, error: Any) -> None:
    written = StringIO()
    structlog.dev.plain_traceback(written, error)
    target.write(legible(written.getvalue(), keep="\n"))


def _renderers(*, is_console: bool) -> list[Any]:
    """Render without local variables: they hold keys and images."""
    if is_console:
        return [_for_eyes, structlog.dev.ConsoleRenderer(exception_formatter=_tell_traceback)]
    frames = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
    )
    return [frames, _what_is_read_first, _as_json]


def _as_json(_: Any, __: str, line: MutableMapping[str, Any]) -> str:
    return _JSON.encode(line)


_JSON = json.JSONEncoder(default=str)


def log_what_is_uncaught() -> None:
    """Have an error that ends a thread or the process be a line of the log as well."""
    log = Log(__name__)

    def uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        log.critical("uncaught_error", exc_info=(kind, error, trace))

    sys.excepthook = uncaught
    threading.excepthook = lambda it: uncaught(it.exc_type, it.exc_value, it.exc_traceback)
    sys.unraisablehook = lambda it: uncaught(it.exc_type, it.exc_value, it.exc_traceback)


def say_at_once(message: str, *_: object) -> None:
    """Write a line past the log, for a handler of a signal: it may have interrupted the log in the middle of one."""
    said = {"timestamp": datetime.now(UTC).isoformat(), "level": "info", "event": "signal_received", "said": message}
    line = message if os.isatty(2) else json.dumps(said)
    os.write(2, f"{line}\n".encode())
