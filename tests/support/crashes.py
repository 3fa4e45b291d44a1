"""What a test of crashes does around them: submits in doubt, schedulers that are struck, an end to every doubt."""

import time
from collections.abc import Callable, Collection

from tests.support.fleet import SCHEDULERS, WORKERS, Fleet, armed_worker
from tests.support.judge import Judge
from tests.support.services.zygote import Forked
from tests.support.waiting import wait_until
from worker.simulator import Simulator


def strike_schedulers(
    fleet: Fleet, judge: Judge, simulator: Simulator, action: str, then: Callable[[Forked], object]
) -> list[str]:
    """Start armed schedulers one after the other, for only one works at a time, and have each struck.

    Each finds a submit whose answer was lost: it is looked up, and what comes of that is announced.
    """
    ids = []
    for place in SCHEDULERS:
        ids += leave_in_doubt(judge, simulator)
        name = fleet.arm_scheduler(place, action)
        fleet.await_struck([name])
        then(fleet.processes[name])
    return ids


def ask_until_struck(fleet: Fleet, judge: Judge, ids: Collection[str]) -> None:
    """Ask how accepted jobs stand until the workers that are armed for asks were struck."""
    armed = [armed_worker(place) for place in WORKERS if place.startswith("ask.")]
    accepted = "SELECT id::text FROM jobs WHERE id = ANY(%s::uuid[]) LIMIT 10"

    def are_struck() -> bool:
        judge.ask("status", [row["id"] for row in judge.rows(accepted, list(ids))])
        time.sleep(0.5)
        return all(fleet.logged(name, "failpoint_struck") for name in armed)

    wait_until(are_struck, "whoever answers asks is struck")


def leave_in_doubt(judge: Judge, simulator: Simulator) -> list[str]:
    """Have the vendor's answer to a submit lost, after one that was not: one alone is no outage.

    It is that of whichever job comes first: some that were sent before may still wait for their turn.
    """
    ids: list[str] = []
    submit_until(judge, ids, lambda: any(judge.states(ids)[state] for state in ("processing", "fetching", "succeeded")))
    before = doubted(judge)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_until(judge, ids, lambda: doubted(judge) - before)
    return ids


def doubted(judge: Judge) -> set[str]:
    """Return the jobs that wait for the history to tell what became of their submit."""
    query = "SELECT id::text FROM jobs WHERE state = 'submitting' AND waits_for LIKE 'the vendor''s request history%%'"
    return {row["id"] for row in judge.rows(query)}


def submit_until(judge: Judge, ids: list[str], is_so: Callable[[], object]) -> None:
    """Submit a job a second until something is so: a frozen process keeps what it was handed ahead."""

    def is_so_now() -> bool:
        ids.extend(judge.submit(1))
        time.sleep(1)
        return bool(is_so())

    wait_until(is_so_now, "what a job that is submitted leads to")


def await_out_of_doubt(judge: Judge, ids: Collection[str]) -> None:
    """Go on submitting until no submit is in doubt: only a later one that is listed proves another absent."""

    def is_known() -> bool:
        if not judge.states(ids)["submitting"]:
            return True
        more = judge.submit(1)
        judge.await_states(more, "succeeded")
        return False

    wait_until(is_known, "no submit is in doubt")
