"""Sweep: every row that nobody works on though it is due gets a message, and never more of them than can be lost."""

from collections import deque
from collections.abc import Callable, Sequence

from worker.database import overdue, shares
from worker.database.engine import Connection, transaction
from worker.database.outbox import Event
from worker.database.overdue import Overdue
from worker.log import Log
from worker.rules.lifecycle import DRIVEN_BY, NOW, FollowUp, Step, Trigger
from worker.rules.outcome import Fail
from worker.rules.retry import SHORTEST_GAP
from worker.telemetry.failpoints import reach
from worker.upkeep.survey import Survey, survey
from worker.work import changes
from worker.work.changes import Settled
from worker.work.services import Services
from worker.work.shared_runs import catch_up

BATCH = 500
FEW = 5  # Shared runs, each with as many jobs.
MAX_EXPIRED_LEASES = 5

log = Log(__name__)


def sweep(
    services: Services, waiting: Callable[[Step | None], int], beat: Callable[[], None], seen: Survey | None = None
) -> None:
    """Drive what is overdue, of what was ``seen``; ``waiting`` tells how many messages are in a step's queue.

    Those count as the messages of its overdue rows: so a backlog never multiplies.
    """
    seen = seen or survey(services, beat)
    _drive(services, _those(seen.abandoned), BATCH, beat)
    for state, left in seen.untaken.items():
        _drive(services, _those(left), len(left) - waiting(DRIVEN_BY[state]), beat)
    if not services.settings.budget.limit:  # Else they are released.
        _drive_waiting(services, waiting(Step.SUBMIT), beat)
    _end_sharers(services, beat)


def _those(job_ids: Sequence[str]) -> Callable[[Connection, int], Sequence[Overdue]]:
    """Return what finds the next of some runs that are left behind still."""
    next_ones = deque(job_ids)

    def find(connection: Connection, limit: int) -> Sequence[Overdue]:
        while next_ones:
            ids = [next_ones.popleft() for _ in range(min(limit, len(next_ones)))]
            if left := overdue.left_behind(connection, ids):
                return left
        return ()

    return find


def _drive_waiting(services: Services, messages: int, beat: Callable[[], None]) -> None:
    """Drive the jobs that wait for their submit, some at a time: what has a message from now on counts no more."""
    driven = BATCH
    while driven >= BATCH:
        with transaction(services.engine) as connection:
            lost = overdue.count_waiting(connection, messages + BATCH) - messages
        driven = _drive(services, overdue.waiting, lost, beat)


def _end_sharers(services: Services, beat: Callable[[], None]) -> None:
    """End jobs whose shared run is over, where whoever ended it did not tell them: a worker of an earlier release."""
    with transaction(services.engine) as connection:
        runs = shares.untold(connection, FEW)
        told = [each for run in runs for each in catch_up(connection, run, shares.waiting(connection, run.id))]
    if told:
        log.warning("sharers_ended", count=len(told), next="see that all workers are of this release")
    services.post.deliver(told, beat)


def _drive(
    services: Services, find: Callable[[Connection, int], Sequence[Overdue]], most: int, beat: Callable[[], None]
) -> int:
    """Send the messages of some overdue rows again; return of how many."""
    driven = 0
    while driven < most:
        beat()
        with transaction(services.engine) as connection:
            left = find(connection, min(most - driven, BATCH))
            swept = [what for each in left for what in _sweep(connection, services, each)]
        reach("sweep.recorded")
        services.post.deliver(swept, beat)
        if not left:
            break
        log.info("jobs_swept", count=len(left))
        driven += len(left)
    return driven


def _sweep(connection: Connection, services: Services, left: Overdue) -> Settled:
    """Send a row's message again, or put it to review where that is not safe."""
    if left.expired_leases >= MAX_EXPIRED_LEASES:
        return _give_up(connection, left, Fail(Trigger.KILLED, "worker_killed", _KILLED))
    step = DRIVEN_BY[left.job.state]
    again_in = max(services.settings.upkeep.sweep_grace, SHORTEST_GAP)
    return [FollowUp(step, overdue.redrive(connection, left, again_in), NOW)] if step else ()


def _give_up(connection: Connection, left: Overdue, why: Fail) -> Sequence[Event]:
    return changes.apply(connection, left.job, why, NOW).events


_KILLED = f"{MAX_EXPIRED_LEASES} workers in a row ended while they worked on this job."
