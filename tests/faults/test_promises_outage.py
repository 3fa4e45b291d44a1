"""An outage of all submits, with real workers and no history: few POSTs, and a backlog that goes on by itself."""

from typing import Any

import pytest

from tests.support.deployment import Service
from tests.support.judge import Judge
from tests.support.promises import (
    await_end,
    await_quiet,
    calls,
    held_cause,
    in_state,
    now,
    size,
    start_fleet,
    submits_by_job,
    tell_doubts,
)
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = size("TEST_OUTAGE", 60)
PROBES = size("TEST_OUTAGE_PROBES", 5)
"""An hour of the vendor's is as many probes as it has minutes: 60 in full."""
A_DOZEN = 12
PROBE_SECONDS = 1

BAD_GATEWAY: dict[str, Any] = {"kind": "status", "http_status": 502}
RESET: dict[str, Any] = {"kind": "reset", "rate": 0.5}


@pytest.mark.parametrize(
    ("faults", "setting"),
    [((RESET, BAD_GATEWAY), "review"), ((BAD_GATEWAY,), "retry")],
    ids=["502 and resets, for a person", "502, tried again"],
)
def test_an_outage_of_all_submits_stops_the_account(
    deployment: Service, simulator: Simulator, judge: Judge, faults: tuple[dict[str, Any], ...], setting: str
) -> None:
    """At most a dozen POSTs, then one a probe; once it is healed all succeed but those whose own POST was ambiguous."""
    deployment.environment |= {"SAM3D_PROBE_INTERVAL": str(PROBE_SECONDS), "SAM3D_SUBMIT_SERVER_ERROR": setting}
    simulator.update(history_available=False, run_time=0.2, credits=1e6)
    for fault in faults:
        simulator.add_fault(call="submit", **fault)
    ids = judge.submit(JOBS)
    start_fleet(deployment)
    wait_until(lambda: held_cause(judge), "the account is held")
    assert (held_cause(judge), calls(simulator, "submit") <= A_DOZEN) == ("outage", True)

    began, before = now(judge), calls(simulator, "submit")
    wait_until(lambda: (now(judge) - began) > PROBES * PROBE_SECONDS, "an outage of some probes", within=7200)
    probes, passed = calls(simulator, "submit") - before, now(judge) - began
    print(f"\n{before} POSTs until the account was held, {probes} in the {passed:.1f} s after")
    assert probes <= passed / PROBE_SECONDS + 1 + (A_DOZEN - before)  # Some may have been under way.
    assert held_cause(judge) == "outage"

    simulator.clear_faults()
    ends = await_end(judge, ids, within=120 + JOBS / 5, are_hurried=True)
    doubted = _doubted(judge) if setting == "review" else set()
    tell_doubts(judge, f"an outage of submits without a history, {setting}")
    assert in_state(judge, "review") == doubted
    assert ends == {"succeeded": JOBS - len(doubted), **({"review": len(doubted)} if doubted else {})}
    assert held_cause(judge) is None
    judge.check(ids, review=doubted)
    assert set(submits_by_job(simulator, judge)) == set(ids)


def test_new_jobs_wait_while_submits_are_out(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """A job that comes during an outage makes no POST of its own accord, and uses no attempt up."""
    deployment.environment["SAM3D_PROBE_INTERVAL"] = "60"
    simulator.update(history_available=False, run_time=0.2)
    simulator.add_fault(call="submit", **BAD_GATEWAY)
    judge.submit(A_DOZEN * 2)
    start_fleet(deployment, workers=1)
    wait_until(lambda: held_cause(judge), "the account is held")
    before = await_quiet(lambda: calls(simulator, "submit"), "no submit is under way")
    late = judge.submit(A_DOZEN)
    judge.await_states(late, "accepted")
    assert await_quiet(lambda: calls(simulator, "submit"), "no submit is under way") == before
    query = "SELECT max(attempts) AS most FROM jobs WHERE id = ANY(%s::uuid[])"
    assert judge.rows(query, late)[0]["most"] == 0


def _doubted(judge: Judge) -> set[str]:
    """Return the jobs whose POST has no answer that tells."""
    query = "SELECT DISTINCT job_id::text FROM submissions WHERE verdict IN ('unknown', 'unresolved')"
    return {row["job_id"] for row in judge.rows(query)}
