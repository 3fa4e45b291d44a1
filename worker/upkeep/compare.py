"""Compare: a database that may have been set back is compared with the vendor's history before anything is paid.

A process that misses what it committed stops the submits at once. Where nobody remembers, each new life of the
database is compared: whoever restores one starts it anew.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from worker.config.environment import Settings
from worker.database import lineage
from worker.database.engine import transaction
from worker.database.lineage import Lineage
from worker.database.outbox import Event
from worker.errors import AccountHeld, HistoryMissing, HoldCause, RemoteUnavailable
from worker.log import Log
from worker.rules.evidence import Evidence
from worker.rules.outcome import Hold
from worker.rules.pairing import LEARNT_FROM
from worker.upkeep.lookup import Lookup
from worker.work import adopting, holding
from worker.work.adopting import Found
from worker.work.changes import Settled
from worker.work.holding import MAY_BE_PAID_AGAIN
from worker.work.noticing import is_set_back
from worker.work.services import Services

log = Log(__name__)


class Reach(StrEnum):
    """How much of the history could be read."""

    WHOLE = "whole"
    PART = "part"  # Not all of it, or nothing, now.
    NONE = "none"  # There is no history.


class Next(StrEnum):
    """What follows from a look."""

    SETTLE = "settle"  # All is found: submits are made again.
    GO_ON = "go_on"  # Nothing speaks for a loss: submits are made though not all was compared.
    WAIT = "wait"
    ASK = "ask"  # Submits are missing, and only a person can say what becomes of them.


def conclude(reach: Reach, waited: timedelta, deadline: timedelta, settle: timedelta, *, is_missing: bool) -> Next:
    """Decide what follows from a look.

    ``waited`` is how long ago the first one was due, ``deadline`` what a submit may take, and ``settle`` how late its
    run may be listed: one that was under way when the database was set back has yet to be.
    """
    is_over = waited >= deadline + settle
    match reach:
        case Reach.WHOLE:
            return Next.SETTLE if is_over or not is_missing else Next.WAIT
        case Reach.PART:
            return Next.GO_ON if waited >= settle and not is_missing else Next.WAIT
        case Reach.NONE:
            return Next.ASK if is_missing else Next.GO_ON
    assert_never(reach)


class Comparison:
    """What a scheduler knows of the database that it works with, and does about one that was set back."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._lookup = Lookup(services)
        self._waits: tuple[object, float] = (None, 0.0)
        self._looks_at = clock()
        self._was_told: object = None

    def compare(self, beat: Callable[[], None]) -> Settled:
        """Compare where that is due, and return what is to be announced and sent.

        Safe to run twice because a run that a job has is not given to another.
        """
        seen = self._read()
        if seen.is_settled or seen.is_new:
            self._services.memory.keep(seen.newest)
            return ()
        held = self._hold(seen)
        waited = self._waited_for((seen.incarnation, seen.missing_since is not None))
        # Processes that remember more than this one say so as soon as they are connected again.
        is_early = seen.missing_since is None and waited < self._services.settings.history.compare_wait
        if is_early or self._clock() < self._looks_at:
            return held
        self._looks_at = self._clock() + self._services.settings.upkeep.sweep_interval.total_seconds()
        return [*held, *self._compare(seen, waited, beat)]

    def _read(self) -> Lineage:
        with transaction(self._services.engine) as connection:
            is_set_back(connection, self._services)
            seen = lineage.read(connection, self._services.account)
            if seen.is_new:
                lineage.pass_over(connection, self._services.account, seen)
            return seen

    def _waited_for(self, what: object) -> timedelta:
        """Return how long the same has been waited for, by this process's own clock."""
        if self._waits[0] != what:
            self._waits = (what, self._clock())
            self._looks_at = self._clock()
        return timedelta(seconds=self._clock() - self._waits[1])

    def _hold(self, seen: Lineage) -> Sequence[Event]:
        """Show to everybody that submits are missing, where nothing else holds the account."""
        if seen.missing_since is None or seen.held_cause is not None:
            return ()
        message = (
            f"The database was set back: submits since {seen.missing_since:%Y-%m-%d %H:%M:%S} UTC are missing. It goes "
            "on when they were found in the vendor's request history. Without one, `sam3d resume` goes on, and "
            f"{MAY_BE_PAID_AGAIN}."
        )
        with transaction(self._services.engine) as connection:
            return holding.hold(
                connection, self._services.account, Hold(HoldCause.RESTORED, message), stops_reads=False
            )

    def _compare(self, seen: Lineage, waited: timedelta, beat: Callable[[], None]) -> Settled:
        settings = self._services.settings
        deadline = settings.run.submit_deadline
        reach, evidence = _look(self._services, self._lookup, seen)
        found = adopting.find(self._services, seen, evidence, beat) if evidence else adopting.NOTHING
        is_missing = seen.missing_since is not None or found.speaks_for_a_loss
        if is_missing and seen.missing_since is None:
            with transaction(self._services.engine) as connection:
                lineage.note_gap(connection, self._services.account, seen)
        settle = evidence.settle if evidence else settings.history.settle
        following = conclude(reach, waited, deadline, settle, is_missing=is_missing)
        settled = [what for each in found.lost for what in adopting.adopt(self._services, each)]
        if is_missing and following is Next.SETTLE:  # Until then a run may be listed that is told.
            settled += [what for job in found.untold for what in adopting.ask(self._services, job)]
            self._keep(found)
        return [*settled, *self._conclude(seen, following)]

    def _keep(self, found: Found) -> None:
        """Keep the runs of jobs that are lost as well, and tell how many there are."""
        with transaction(self._services.engine) as connection:
            lineage.keep_strays(connection, found.strays)
        if found.strays:
            told = "who sends the same request again gets its run; see docs/operations.md, on a restored database"
            log.warning("runs_unknown", count=len(found.strays), next=told)

    def _conclude(self, seen: Lineage, following: Next) -> Settled:
        match following:
            case Next.SETTLE:
                return self._settle(seen)
            case Next.GO_ON:
                self._tell(seen, following, "database_not_compared", f"if it was set back, {MAY_BE_PAID_AGAIN}")
                with transaction(self._services.engine) as connection:
                    lineage.pass_over(connection, self._services.account, seen)
                    lineage.drive_waiting(connection, self._services.account)
            case Next.WAIT:
                self._tell(seen, following, "comparing_waits", "it looks again with the next sweep")
            case Next.ASK:
                told = f"there is no history to compare it with: `sam3d resume` goes on, and {MAY_BE_PAID_AGAIN}"
                self._tell(seen, following, "comparing_asks", told)
            case _:
                assert_never(following)
        return ()

    def _tell(self, seen: Lineage, following: Next, name: str, next_step: str) -> None:
        """Log it once for each life of the database and each loss."""
        what = (seen.incarnation, seen.missing_since, following)
        if self._was_told != what:
            self._was_told = what
            log.warning(name, missing_since=str(seen.missing_since), next=next_step)

    def _settle(self, seen: Lineage) -> Settled:
        with transaction(self._services.engine) as connection:
            if not lineage.settle(connection, self._services.account, seen):
                return ()
            lineage.drive_waiting(connection, self._services.account)
            resumed = holding.resume_from(connection, self._services.account, HoldCause.RESTORED)
        log.info("database_compared", missing_since=str(seen.missing_since))
        return resumed


def _look(services: Services, lookup: Lookup, seen: Lineage) -> tuple[Reach, Evidence | None]:
    """Read the history since the newest submit that the database has: what it lost came after that."""
    if services.settings.history.mode == "off":
        return Reach.NONE, None
    first = _first(seen, services.settings) - LEARNT_FROM
    try:
        found = lookup.look(first, seen.observed_at)
    except HistoryMissing as error:
        log.warning("history_missing", reason=str(error), next="nothing can be compared")
        return Reach.NONE, None
    except (AccountHeld, RemoteUnavailable) as error:
        log.warning("history_unavailable", reason=str(error), next="the next tick")
        return Reach.PART, None
    return Reach.WHOLE if found.look.is_complete else Reach.PART, found


def _first(seen: Lineage, settings: Settings) -> datetime:
    """Return the moment from which runs may be lost; a newest submit in the future is of a clock that was wrong."""
    newest = min(seen.newest.at if seen.newest else seen.observed_at, seen.observed_at)
    return min(seen.missing_since, newest) if seen.missing_since else max(newest, _longest(seen, settings))


def _longest(seen: Lineage, settings: Settings) -> datetime:
    return seen.observed_at - settings.history.compare_window
