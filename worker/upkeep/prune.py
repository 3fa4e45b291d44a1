"""Prune: delete what is old, and the photos that no job needs any more; a little at a time."""

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from worker.database import blobs, retention, slots
from worker.database.engine import Connection, transaction
from worker.errors import ConfigurationError, StoreUnavailable
from worker.work.services import Services

ONE_DAY = timedelta(days=1)
JOBS = 20  # At a time: their files go with them.
EVENTS = 500
INPUTS = 20
FILES = 20
LONGEST_SECONDS = 5.0  # For each kind: whoever leads has other things to do.

log = structlog.get_logger(__name__)


def prune(services: Services, beat: Callable[[], None]) -> None:
    """Delete what the settings say is not to be kept. Safe to run twice because it only finds what is still there."""
    settings = services.settings
    with transaction(services.engine) as connection:
        slots.forget(connection, ONE_DAY)
    if not settings.storage.keeps_inputs:
        age = settings.storage.failed_input_retention
        _repeat(services, beat, "inputs_forgotten", partial(retention.forget_inputs, failed_for=age, limit=INPUTS))
    if settings.storage.retention is not None:
        age = settings.storage.retention
        _repeat(services, beat, "jobs_pruned", partial(retention.delete_jobs, older_than=age, limit=JOBS))
        _repeat(services, beat, "events_pruned", partial(retention.delete_events, older_than=age, limit=EVENTS))
    _delete_loose(services, beat)


def _delete_loose(services: Services, beat: Callable[[], None]) -> None:
    """Delete files that no row names any more, the last of all: whoever was told of one has had its row's time."""
    delete = partial(blobs.forget_loose, older_than=ONE_DAY, limit=FILES, erase=services.stores.erase)
    try:
        _repeat(services, beat, "files_deleted", delete)
    except (StoreUnavailable, ConfigurationError) as error:
        log.warning("files_kept", reason=str(error), next="tries again with the next sweep; jobs are not affected")


def _repeat(services: Services, beat: Callable[[], None], what: str, delete: Callable[[Connection], int]) -> None:
    """Delete some in a transaction of their own, until none are left or it takes long: the next tick goes on."""
    ends_at = time.monotonic() + LONGEST_SECONDS
    deleted = 1
    while deleted and time.monotonic() < ends_at:
        beat()
        with transaction(services.engine) as connection:
            deleted = delete(connection)
        if deleted:
            log.info(what, count=deleted)
