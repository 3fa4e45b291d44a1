"""What kills its worker every time is put aside after a limit, where a person sees it; the rest goes on."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.broken import Broken, task
from tests.support.deployment import Service
from tests.support.fleet import Fleet, run_poisoned
from tests.support.judge import Judge, prompt_of, tiny_image
from tests.support.messages import count, dead_letters, publish, publisher
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from worker.broker.topology import MAX_DELIVERIES
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import EventType
from worker.simulator import Simulator


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide what starts workers quickly, as many of them will die."""
    with Fleet(deployment, zygote) as processes:
        yield processes


def test_a_request_that_kills_every_worker_ends_in_the_dead_letters(
    deployment: Service, judge: Judge, fleet: Fleet, simulator: Simulator, rabbitmq: PrivateRabbit
) -> None:
    """Whichever way it came; replayed to a worker that lives, it is the job that it would have been."""
    fields = {"image": tiny_image(), "prompt": prompt_of("")}
    message_id, task_message = str(uuid.uuid4()), task("", [[], fields, {}])
    task_id = task_message.properties["headers"]["id"]
    with publisher(deployment) as producer:
        publish(producer, "", "sam3d.requests", task_message)
        body = json.dumps({**fields, "seed": 1}).encode()
        publish(producer, "sam3d.inbox", "reconstruct", Broken("", body, {"message_id": message_id}))

    def are_put_aside() -> bool:
        told = judge.rows("SELECT count(*) FROM events")[0]["count"]
        return count(rabbitmq, deployment, "sam3d.dead") == 2 and int(told) == 2

    kills = run_poisoned(fleet, "accept.taken", are_put_aside)
    assert kills >= MAX_DELIVERIES + 1

    found = {(each["reason"], each["exchange"], each["routing_key"]) for each in dead_letters(deployment)}
    why = f"no worker got through with it, {MAX_DELIVERIES + 1} times"
    assert found == {(why, "", "sam3d.requests"), (why, "sam3d.inbox", "reconstruct")}
    ids = {str(derived_job_id("celery", task_id)), str(derived_job_id("amqp", message_id))}
    told = judge.rows("SELECT job_id::text, type, payload->'error'->>'code' AS code FROM events")
    assert {(each["job_id"], each["type"], each["code"]) for each in told} == {
        (job_id, EventType.REFUSED, "put_aside") for job_id in ids
    }
    fleet.start("scheduler", "scheduler")
    fleet.workers("worker")
    replayed: list[dict[str, Any]] = json.loads(deployment.run("dead", "replay", "--all", "--yes", "--json").stdout)
    assert {each["task_id"] for each in replayed} == {task_id, None}
    judge.await_states(ids, "succeeded")
    assert len(simulator.ledger()) == 2
    assert dead_letters(deployment) == []
    judge.check_logs()


def test_a_poll_that_kills_every_worker_ends_in_review(
    deployment: Service, judge: Judge, fleet: Fleet, simulator: Simulator
) -> None:
    """The job says so itself, a person decides; its run was paid once."""
    deployment.environment |= {"SAM3D_READ_DEADLINE": "0.5", "SAM3D_LEASE_MARGIN": "0.5", "SAM3D_SWEEP_GRACE": "0.5"}
    fleet.start("scheduler", "scheduler")
    ids = judge.submit(1)
    run_poisoned(fleet, "poll.taken", lambda: judge.states(ids)["review"] == 1)
    assert judge.rows("SELECT error_code FROM jobs") == [{"error_code": "worker_killed"}]
    fleet.workers("worker")
    judge.check([*ids, *judge.submit(1)], review=ids)
    assert len(simulator.ledger()) == 2


def test_a_submit_that_kills_every_worker_is_paid_at_most_once(
    deployment: Service, judge: Judge, fleet: Fleet, simulator: Simulator
) -> None:
    """The vendor's history tells that nothing was sent; after a few tries the job waits for a person."""
    deployment.environment |= {"SAM3D_SUBMIT_DEADLINE": "0.5", "SAM3D_LEASE_MARGIN": "0.5"}
    fleet.start("scheduler", "scheduler")
    ids = judge.submit(1)
    run_poisoned(fleet, "submit.taken", lambda: judge.states(ids)["review"] == 1)
    assert simulator.ledger() == []
    fleet.workers("worker")
    judge.check([*ids, *judge.submit(1)], review=ids)
