"""One job that is refused among many that are not, with real workers: it alone fails."""

from uuid import uuid4

import pytest

from tests.support.deployment import Service
from tests.support.judge import Judge, prompt_of, request_of
from tests.support.promises import await_end, calls, held_cause, in_state, size, start_fleet
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = size("TEST_POISON", 16)
PLACE = JOBS // 4
QUOTING = "Invalid prompt: 'a quota of cups, insufficient credits' has a word that is not allowed"


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, None), (403, None), (404, None), (405, None), (406, QUOTING), (410, None)],
)
def test_one_poisonous_job_fails_alone(
    deployment: Service, simulator: Simulator, judge: Judge, status: int, message: str | None
) -> None:
    """Whatever one job is refused with: it fails, and all others succeed without a person."""
    deployment.environment["SAM3D_PROBE_INTERVAL"] = "1"
    simulator.update(run_time=0.2, credits=1e6)
    ids = [str(uuid4()) for _ in range(JOBS)]
    poison = ids[PLACE]
    simulator.add_fault(call="submit", kind="status", http_status=status, prompt=prompt_of(poison), message=message)
    start_fleet(deployment)
    *first, last = ids
    judge.send([request_of(each) for each in first])
    refused = "SELECT 1 FROM jobs WHERE id = %s::uuid AND (refusals >= 3 OR state = 'failed')"
    wait_until(lambda: judge.rows(refused, poison), "it is refused again and again", within=60 + JOBS)
    judge.send([request_of(last)])  # Alone in its queue nobody can tell it from the account.
    ends = await_end(judge, ids, within=60 + JOBS)
    print(f"\n{status}: {dict(ends)}, {calls(simulator, 'submit')} POSTs")
    assert ends == {"succeeded": JOBS - 1, "failed": 1}
    assert in_state(judge, "failed") == {poison}
    assert held_cause(judge) is None
    judge.check(ids, ends_in={"succeeded", "failed"})
