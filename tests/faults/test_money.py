"""What costs money, with real workers: answers that get lost, and an account that has run dry."""

import os
from collections.abc import Sequence
from datetime import timedelta

from tests.support.deployment import Service, start_all
from tests.support.judge import Judge
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = 60
WAITING = int(os.environ.get("TEST_WAITING", "50"))
PROBE_SECONDS = int(os.environ.get("TEST_PROBE_SECONDS", "2"))
PROBES = 3
"""The suite scales these down: 500 jobs, and a minute between probes, take a quarter of an hour."""


def _lose_answers(simulator: Simulator) -> None:
    """Let one in ten submits start its run and then drop the connection."""
    simulator.add_fault(call="submit", kind="drop_answer", rate=0.1)


def test_lost_answers_are_found_in_the_history(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """A tenth of the answers is lost: every job succeeds, each run is paid once, nobody is asked."""
    _lose_answers(simulator)
    start_all(deployment)
    ids = judge.submit(JOBS)
    judge.check(ids)
    adopted = judge.rows("SELECT count(*) AS n FROM submissions WHERE verdict = 'adopted'")[0]["n"]
    assert (len(simulator.ledger()), judge.states(ids)["review"]) == (JOBS, 0)
    assert adopted > 0, "some answers were lost"


def test_without_the_history_lost_answers_are_for_a_person(
    deployment: Service, simulator: Simulator, judge: Judge
) -> None:
    """No history: just the jobs whose answers were lost are in review, and none is paid twice."""
    simulator.update(history_available=False)
    _lose_answers(simulator)
    start_all(deployment)
    ids = judge.submit(JOBS)
    wait_until(lambda: _is_decided(judge, ids), "each job has succeeded or is in review", within=120)
    rows = judge.rows("SELECT job_id::text FROM submissions WHERE verdict = 'unresolved'")
    lost = {row["job_id"] for row in rows}
    assert lost, "some answers were lost"
    judge.check(ids, review=lost)
    assert len(simulator.ledger()) == JOBS


def _is_decided(judge: Judge, ids: Sequence[str]) -> bool:
    states = judge.states(ids)
    return states["succeeded"] + states["review"] == len(ids)


def test_an_account_without_credits_is_asked_once_a_minute(
    deployment: Service, simulator: Simulator, judge: Judge
) -> None:
    """Hundreds of jobs wait without an attempt used up, one probe each interval, and all succeed after the top-up."""
    deployment.environment["SAM3D_PROBE_INTERVAL"] = str(PROBE_SECONDS)
    simulator.update(credits=0, credits_status=406, run_time=0)
    ids = judge.submit(WAITING)
    start_all(deployment)
    judge.await_states(ids, "accepted")
    wait_until(lambda: _account_is_held(judge), "the account is held")
    _await_quiet(simulator)
    before, started_at = simulator.requests()["total"], judge.rows("SELECT now() AS at")[0]["at"]
    wait_until(lambda: simulator.requests()["total"] >= before + PROBES, "some probes", within=PROBES * 70)
    passed = judge.rows("SELECT now() AS at")[0]["at"] - started_at
    probes = simulator.requests()["total"] - before
    print(f"{probes} probes in {passed}, one each {PROBE_SECONDS} s at most; {simulator.requests()['calls']}")
    assert probes <= passed / timedelta(seconds=PROBE_SECONDS) + 1
    assert judge.states(ids) == {"accepted": WAITING}
    assert {row["attempts"] for row in judge.rows("SELECT attempts FROM jobs")} == {0}

    simulator.update(credits=1000)
    judge.check(ids, within=600)
    kinds = judge.rows("SELECT type, count(*) AS n FROM events WHERE job_id IS NULL GROUP BY type ORDER BY type")
    assert [(row["type"], row["n"]) for row in kinds] == [("sam3d.account.held", 1), ("sam3d.account.resumed", 1)]


def _account_is_held(judge: Judge) -> bool:
    return bool(judge.rows("SELECT 1 FROM accounts WHERE held_at IS NOT NULL"))


def _await_quiet(simulator: Simulator) -> None:
    """Wait until the submits that were already under way have been answered: none is made any more."""
    seen: list[int] = []

    def is_quiet() -> bool:
        seen.append(sum(simulator.requests()["calls"].get("submit", {}).values()))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_until(is_quiet, "no submit is under way")
