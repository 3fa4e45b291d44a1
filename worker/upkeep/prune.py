"""Prune: delete what is old, class by class, and the photos that no job needs any more; a little at a time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from worker.config.conduct import StorageSettings
from worker.database import blobs, retention
from worker.database.engine import Connection, DatabaseError, Engine, sqlstate, transaction
from worker.database.retention import Old
from worker.errors import ConfigurationError, StoreUnavailable
from worker.log import Log
from worker.outputs.stores import Role, Stores

if TYPE_CHECKING:  # Who prunes by hand imports nothing that speaks with the vendor or the broker.
    from worker.work.services import Services

ONE_DAY = timedelta(days=1)
EVENTS = 500
FEW = 20  # Of what has files, at a time.
LONGEST_SECONDS = 5.0  # For each class: whoever leads has other things to do.

TOOK_TOO_LONG = "57014"
"""PostgreSQL's code of a statement that was given up (its manual, appendix A)."""

log = Log(__name__)


@dataclass(frozen=True)
class Class:
    """Things that are kept for some time: how long, which are over it, and how these are deleted.

    ``event`` is the line of the log that says how many were.
    """

    name: str
    event: str
    age: timedelta
    old: Old
    delete: Callable[[Connection, Old, int], int]
    at_a_time: int = FEW


def classes(storage: StorageSettings, stores: Stores) -> Sequence[Class]:
    """Return what the settings say is not kept for ever, in the order in which it goes: the bytes last."""
    found = []
    if not storage.keeps_inputs:
        age = storage.failed_input_retention
        forget_inputs = partial(retention.forget_inputs, failed_for=age)
        found.append(Class("inputs", "inputs_forgotten", age, retention.needless_inputs(age), forget_inputs))
    ages = {Role.OUTPUT: storage.output_retention, Role.EVIDENCE: storage.evidence_retention}
    for role, until in ages.items():
        if until is not None:
            old = retention.old_outputs(role, until)
            found.append(Class(f"{role}s", f"{role}s_pruned", until, old, retention.delete_outputs))
    if (age_of_jobs := storage.retention) is not None:
        jobs, events = retention.old_jobs(age_of_jobs), retention.old_events(age_of_jobs)
        found.append(Class("jobs", "jobs_pruned", age_of_jobs, jobs, retention.delete_jobs))
        found.append(Class("events", "events_pruned", age_of_jobs, events, retention.delete_events, EVENTS))
    forget = partial(blobs.forget_loose, erase=Eraser(stores).erase)
    return [*found, Class("files", "files_deleted", ONE_DAY, blobs.loose(ONE_DAY), forget)]


class Eraser:
    """Deletes the bytes of files, until a store does not let it: the others of it are not waited for."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._is_refused = False

    def erase(self, location: str) -> bool:
        """Delete a file's bytes; return whether they are gone."""
        if self._is_refused:
            return False
        try:
            self._stores.erase(location)
        except (StoreUnavailable, ConfigurationError) as error:
            self._is_refused = True
            log.warning("files_kept", reason=str(error), next="tries again in a day; jobs are not affected")
            return False
        return True


def prune(services: "Services", beat: Callable[[], None]) -> None:
    """Delete what is not to be kept. Safe to run twice because it only finds what is still there."""
    with transaction(services.engine) as connection:
        retention.delete_counts(connection, ONE_DAY)
    for each in classes(services.settings.storage, services.stores):
        delete_old(services.engine, each, beat)


def delete_old(engine: Engine, kept: Class, beat: Callable[[], None]) -> bool:
    """Delete some in a transaction of their own, until none are left or it takes long; return whether some may be left.

    Where the database gives up on them, fewer are tried.
    """
    ends_at, limit, deleted = time.monotonic() + LONGEST_SECONDS, kept.at_a_time, 1
    while deleted and time.monotonic() < ends_at:
        beat()
        try:
            with transaction(engine) as connection:
                deleted = kept.delete(connection, kept.old, limit)
        except DatabaseError as error:
            if limit == 1 or sqlstate(error) != TOOK_TOO_LONG:
                raise
            limit = max(1, limit // 4)
            continue
        if deleted:
            log.info(kept.event, count=deleted)
    return bool(deleted)
