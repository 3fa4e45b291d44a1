"""Fifty equal requests at once, and their worker dies: one run is paid, and each of them hears of its end, once."""

from collections import Counter

import pytest
from celery import Celery

from tests.support.broken import SECRET_PROMPT
from tests.support.deployment import Service, start_all
from tests.support.judge import Judge, tiny_image
from tests.support.requests import at_once
from tests.support.waiting import wait_until
from worker.simulator import Simulator

COUNT = 50
TOLD = "SELECT id::text, job_id::text, payload FROM events WHERE type ~ 'succeeded$' AND duplicate_of IS NULL"
"""A message that comes again, as its worker died, is told again."""

PLACES = ["accept.recorded=kill:20", "submit.answered=kill", "fetch.stored=kill", "fetch.recorded=kill"]
AMIDST_THE_ENDS = "fetch.announced=kill"
"""All ends are handed over, and as many are out as its thread was quick to publish."""


def send_equals(deployment: Service) -> None:
    """Send equal requests from several places at once, as whoever has Celery and none of our code would."""
    fields = {"image": tiny_image(), "prompt": SECRET_PROMPT}

    def send() -> None:
        with Celery("shop", broker=deployment.environment["SAM3D_BROKER_URL"], set_as_current=False) as shop:
            for _ in range(COUNT // 5):
                shop.send_task("sam3d.reconstruct", kwargs=fields, queue="sam3d.requests")

    at_once(5, send)


@pytest.mark.parametrize("place", [*PLACES, AMIDST_THE_ENDS])
def test_all_who_share_a_run_hear_of_its_end(
    deployment: Service, judge: Judge, simulator: Simulator, place: str
) -> None:
    """Wherever the worker is killed; another goes on, and nothing is paid or told twice."""
    deployment.environment["SAM3D_SHARE_RUNS"] = "true"
    doomed = deployment.start("doomed", "worker", "--concurrency", "4", SAM3D_FAILPOINTS=place)
    send_equals(deployment)
    doomed.wait(timeout=60)
    start_all(deployment)
    jobs = "SELECT id::text, state FROM jobs WHERE NOT is_shared"
    wait_until(lambda: Counter(job["state"] for job in judge.rows(jobs)) == {"succeeded": COUNT}, "all succeed")
    ids = {job["id"] for job in judge.rows(jobs)}
    told = judge.rows(TOLD)
    assert {event["job_id"] for event in told} == ids
    assert len(told) == COUNT
    wait_until(lambda: {event["id"] for event in told} <= {each.id for each in judge.witness.heard}, "each is heard")
    [run] = simulator.ledger()
    assert {event["payload"]["shared_run"]["request_id"] for event in told} == {run["request_id"]}
    assert sorted(event["payload"]["cost"]["amount"] for event in told)[-2:] == [0, run["cost"]]
    assert judge.rows("SELECT count(*) FROM outputs GROUP BY sha256") == [{"count": COUNT + 1}]
    judge.check_logs()
