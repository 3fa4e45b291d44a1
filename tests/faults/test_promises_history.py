"""Answers that are lost, with real workers and every form of the history: nothing is paid twice, hardly any review."""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from tests.support.deployment import Service
from tests.support.judge import Judge, prompt_of, request_of
from tests.support.promises import await_end, in_state, now, size, start_fleet, tell_doubts
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = size("TEST_HISTORY", 40)
TRAFFIC = size("TEST_TRAFFIC", 80)
TRAFFIC_SECONDS = size("TEST_TRAFFIC_SECONDS", 6)
LATEST_SECONDS = size("TEST_TRAFFIC_LATE", 3)
"""In full 2,000 jobs in 240 s, rows up to 150 s late."""

FORMS: dict[str, dict[str, Any]] = {
    "as ever": {},
    "local time": {"history_utc_offset_minutes": 330, "history_zone": False},
    "pictures dropped": {"history_images": "dropped"},
    "ids without dashes": {"history_dashless": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_lost_answers_are_found_in_every_form(
    deployment: Service, simulator: Simulator, judge: Judge, form: str
) -> None:
    """A tenth of the answers is lost: every job succeeds, each run is paid once, nobody is asked."""
    simulator.update(run_time=0.5, credits=1e6, **FORMS[form])
    start_fleet(deployment)
    first = judge.submit(JOBS // 4)
    judge.await_states(first, "processing", "fetching", "succeeded")
    for well in range(3, JOBS, 10):
        simulator.add_fault(call="submit", kind="drop_answer", skip=well, count=1)
    ids = [*first, *judge.submit(JOBS - JOBS // 4)]
    ends = await_end(judge, ids, within=120 + JOBS / 5)
    doubts = tell_doubts(judge, f"a tenth of the answers lost, {form}")
    assert doubts["unknown"] > 0
    assert ends == {"succeeded": JOBS}
    assert len(simulator.ledger()) == JOBS
    judge.check(ids)


def test_everything_at_once(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """Failing pages, late rows in local time, submits billed and answered 500, resets, cancelled jobs, a stranger."""
    late = {"history_delay_spread_seconds": LATEST_SECONDS, "history_utc_offset_minutes": 330, "history_zone": False}
    simulator.update(run_time=0.5, credits=1e6, foreign_run_every_seconds=0.3, **late)
    deployment.environment |= {
        "SAM3D_RECONCILE_SETTLE": str(2 * LATEST_SECONDS),
        "SAM3D_RECONCILE_DEADLINE": str(12 * LATEST_SECONDS),
    }
    ids = [str(uuid4()) for _ in range(TRAFFIC)]
    doomed = ids[7::50]
    for each in doomed:
        prompt = prompt_of(each)
        simulator.add_fault(call="submit", kind="hang", seconds=3, starts_run=True, prompt=prompt, count=1)
    simulator.add_fault(call="history", kind="status", http_status=500, rate=0.1)
    simulator.add_fault(call="submit", kind="reset", rate=0.1)
    simulator.add_fault(call="submit", kind="status", http_status=500, starts_run=True, rate=0.1)
    start_fleet(deployment)
    _send_all(deployment, judge, ids, doomed)
    simulator.clear_faults()
    ends = await_end(judge, ids, within=120 + 12 * LATEST_SECONDS + TRAFFIC / 5)
    doubts = tell_doubts(judge, "everything at once")
    reviewed = in_state(judge, "review")
    print(f"{dict(ends)} of {TRAFFIC}, {len(simulator.ledger())} runs")
    assert doubts["unknown"] > TRAFFIC / 20
    assert len(reviewed) < TRAFFIC / 100
    judge.check(ids, ends_in={"succeeded", "cancelled"}, review=reviewed)
    assert in_state(judge, "cancelled") <= set(doomed)


def _send_all(deployment: Service, judge: Judge, ids: Sequence[str], doomed: Sequence[str]) -> None:
    """Send the jobs evenly over the time, and cancel some as soon as their submit is under way."""
    began, sent, left = now(judge), 0, list(doomed)

    def is_done() -> bool:
        nonlocal sent
        share = min((now(judge) - began) / TRAFFIC_SECONDS, 1.0)
        due = round(share * len(ids))
        if due > sent:
            judge.send([request_of(each) for each in ids[sent:due]])
            sent = due
        for each in in_state(judge, "submitting") & set(left):
            left.remove(each)
            deployment.start(f"cancel-{each}", "cancel", each)
        return sent == len(ids) and not left

    wait_until(is_done, "all is sent, and cancelled what is to be", within=TRAFFIC_SECONDS + 120)
