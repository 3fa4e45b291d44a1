"""The log of a command: errors alone. What writes lines is imported with the first, which most commands never write."""

import logging

from worker.log import HEARING


def log_errors_alone() -> None:
    """Let only errors of the process be logged, a library's as well; as :func:`.logs.configure_logging` writes them."""
    HEARING.least, HEARING.before_first = logging.ERROR, _configure
    logging.captureWarnings(capture=True)
    logging.root.handlers = [_BeforeFirst(logging.ERROR)]
    logging.root.setLevel(logging.ERROR)


def _configure() -> None:
    from worker.telemetry.logs import configure_logging

    configure_logging("ERROR")


class _BeforeFirst(logging.Handler):
    """Stands where the handler of a log will stand, from the first line on that a library writes."""

    def emit(self, record: logging.LogRecord) -> None:
        _configure()
        logging.root.handle(record)
