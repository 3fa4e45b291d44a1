"""Bodies of other requests and ids that were given before, with real workers: no job has another's model."""

from uuid import uuid4

import pytest

from tests.support.deployment import Service
from tests.support.judge import Judge, request_of
from tests.support.promises import await_end, check_models, in_state, now, size, start_fleet, tell_doubts
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = size("TEST_STRANGERS", 30)
LYING_SECONDS = size("TEST_STRANGERS_SECONDS", 6)


@pytest.mark.parametrize("history", [True, False], ids=["with a history", "without a history"])
def test_no_job_has_another_jobs_model(
    deployment: Service, simulator: Simulator, judge: Judge, *, history: bool
) -> None:
    """Half of the bodies are another run's, a third of the submits is answered with an earlier id."""
    simulator.update(run_time=0.5, credits=1e6, history_available=history)
    for call in ("status", "result"):
        simulator.add_fault(call=call, kind="other_result", rate=0.5)
    simulator.add_fault(call="submit", kind="known_id", rate=0.2)
    simulator.add_fault(call="submit", kind="known_id", rate=0.2, starts_run=False)
    ids = [str(uuid4()) for _ in range(JOBS + 1)]
    seeds = {each: number for number, each in enumerate(ids)}
    start_fleet(deployment)
    *lied_to, later = ids
    judge.send([request_of(each, seed=seeds[each]) for each in lied_to])
    lied_until = now(judge) + LYING_SECONDS
    judge.await_states(lied_to, "processing", "fetching", "succeeded", "review", within=60 + JOBS)
    wait_until(lambda: now(judge) > lied_until or judge.states(lied_to)["succeeded"] == JOBS, "the lies are over", 600)
    simulator.clear_faults()
    judge.send([request_of(later, seed=seeds[later])])  # Nothing proves of the very last submit that it started none.
    # Who was unlucky seven times comes again a minute later.
    ends = await_end(judge, ids, within=60 + JOBS, are_hurried=True)
    name = "bodies and ids of others, " + ("with a history" if history else "without one")
    tell_doubts(judge, name) if history else print(f"\n{name}: {dict(ends)}")
    check_models(judge, seeds)
    judge.check(ids, review=in_state(judge, "review"))
    assert ends["failed"] == 0
    assert ends["succeeded"] > 0
