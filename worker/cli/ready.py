"""What a command works with that decides something. It imports neither Celery nor what speaks with the vendor."""

from collections.abc import Iterator
from contextlib import contextmanager

from worker.config.environment import load_settings
from worker.database.schema import require_schema
from worker.telemetry.errors_alone import log_errors_alone
from worker.work.office import Office, opened_office


@contextmanager
def ready_office() -> Iterator[Office]:
    """Give an office whose database has our schema; errors alone are logged."""
    log_errors_alone()
    with opened_office(load_settings()) as office:
        require_schema(office.engine)
        yield office
