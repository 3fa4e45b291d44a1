"""A request of which only its body is known: its copies, whoever sent them and whatever became of the first one."""

import json
from collections.abc import Iterator

import pytest

from tests.support.broken import Broken
from tests.support.deployment import Service, start_all, start_worker
from tests.support.fleet import Fleet, run_poisoned
from tests.support.judge import Judge, prompt_of, tiny_image
from tests.support.messages import count, dead_letters, publish, publisher
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.simulator import Simulator

TOLD = "SELECT id FROM events WHERE published_at IS NOT NULL AND duplicate_of IS NOT NULL"
IS_OVER = "SELECT 1 FROM jobs HAVING max(accepted_at) < sam3d_now() - interval '3 s'"


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide what starts workers quickly, as many of them will die."""
    with Fleet(deployment, zygote) as processes:
        yield processes


def send(deployment: Service) -> None:
    """Publish a request as anybody would: the same bytes each time, and nothing that names them."""
    body = json.dumps({"image": tiny_image(), "prompt": prompt_of("")}).encode()
    with publisher(deployment) as producer:
        publish(producer, "sam3d.inbox", "reconstruct", Broken("", body))


def ends_heard(judge: Judge) -> set[str]:
    """Return the ids of the events that told a success."""
    return {heard.id for heard in judge.witness.heard if heard.type.endswith("succeeded")}


def test_the_same_bytes_are_one_job_for_a_while(deployment: Service, judge: Judge, simulator: Simulator) -> None:
    """Whoever sends them meanwhile hears what became of it, under an id of its own; later they are a new job."""
    deployment.environment["SAM3D_BODY_IDENTITY"] = "3600"
    start_all(deployment)
    send(deployment)
    wait_until(lambda: judge.rows("SELECT 1 FROM jobs WHERE state = 'succeeded'"), "it succeeds", within=60)
    for copies in (1, 2):
        send(deployment)
        wait_until(lambda copies=copies: len(judge.rows(TOLD)) == copies, "a copy is told")  # type: ignore[misc]
    wait_until(lambda: len(ends_heard(judge)) == 3, "each is heard under an id of its own")
    assert len(simulator.ledger()) == 1
    judge.rows("UPDATE jobs SET accepted_at = accepted_at - interval '2 hours'")
    send(deployment)
    wait_until(lambda: len(judge.rows("SELECT 1 FROM jobs WHERE state = 'succeeded'")) == 2, "the second succeeds")
    assert len(simulator.ledger()) == 2


def test_a_replay_keeps_what_only_the_body_names(
    deployment: Service, judge: Judge, fleet: Fleet, simulator: Simulator, rabbitmq: PrivateRabbit
) -> None:
    """Its row was committed, its worker died each time; it is replayed after the body's time: one job, one run."""
    deployment.environment["SAM3D_BODY_IDENTITY"] = "1"
    send(deployment)
    run_poisoned(fleet, "accept.recorded", lambda: count(rabbitmq, deployment, "sam3d.dead") == 1)
    wait_until(lambda: judge.rows(IS_OVER), "the body counts no more")
    start_worker(deployment)
    deployment.start("scheduler", "scheduler")
    deployment.run("dead", "replay", "--all", "--yes")
    (row,) = judge.rows("SELECT id FROM jobs")
    judge.await_states([str(row["id"])], "succeeded")
    wait_until(lambda: dead_letters(deployment) == [], "nothing is left")
    wait_until(lambda: count(rabbitmq, deployment, "sam3d.inbox") == 0, "the replayed one is read")
    assert len(judge.rows("SELECT id FROM jobs")) == len(simulator.ledger()) == 1
