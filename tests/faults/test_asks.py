"""An ask about a job that meets the end of its worker: it is done once, answered, and put aside where it ends each."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.support.broken import Broken, task
from tests.support.deployment import Service
from tests.support.fleet import Fleet, run_poisoned
from tests.support.judge import Judge
from tests.support.listener import Listener
from tests.support.messages import count, dead_letters, publish, publisher
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.broker.topology import MAX_DELIVERIES
from worker.rules.lifecycle import EventType


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide what starts workers quickly, as some of them will die."""
    with Fleet(deployment, zygote) as processes:
        yield processes


def cancelled(judge: Judge, deployment: Service, count: int) -> list[str]:
    """Have jobs accepted and cancelled; no worker is there when it returns."""
    deployment.run("hold")
    deployment.start("first", "worker", "--steps", "accept")
    ids = judge.submit(count)
    judge.await_states(ids, "accepted")
    deployment.processes["first"].terminate()
    deployment.processes["first"].wait(60)
    for job_id in ids:
        deployment.run("cancel", job_id)
    return ids


def test_a_retry_whose_worker_is_killed_is_one_job(deployment: Service, judge: Judge, fleet: Fleet) -> None:
    """Before, and between what it commits and its answer, whichever way it came: the next worker answers it."""
    ids = cancelled(judge, deployment, 2)
    names = [f"ask-{number}" for number in range(len(ids))]
    with publisher(deployment) as producer:
        listener = Listener(producer.connection)  # type: ignore[arg-type]
        body, how = json.dumps({"job_id": ids[0]}).encode(), {"message_id": "m", "correlation_id": names[0]}
        publish(producer, "sam3d.inbox", "retry", Broken("", body, how))
        named = {"correlation_id": names[1]}
        publish(producer, "", "sam3d.requests", task("", [[], {"job_id": ids[1]}, {}], named, task="sam3d.retry"))
        for place in ("ask.taken", "ask.done"):
            for number in range(2):
                name = f"{place}-{number}"
                fleet.start(name, "worker", "--concurrency", "1", SAM3D_FAILPOINTS=f"{place}=kill")
                fleet.await_struck([name])
        fleet.workers("healthy")

        def are_answered() -> bool:
            listener._drain()
            return {each["correlation_id"] for each in listener.events} >= set(names)

        wait_until(are_answered, "both are answered")
    answers = {each["correlation_id"]: each for each in listener.events if each["correlation_id"] in names}
    assert {each["type"] for each in answers.values()} == {EventType.ACCEPTED}
    assert [answers[name]["data"]["retry_of"] for name in names] == ids
    made = judge.rows("SELECT id::text, retry_of::text FROM jobs WHERE retry_of IS NOT NULL")
    assert {each["retry_of"]: each["id"] for each in made} == {
        job_id: answers[name]["subject"] for job_id, name in zip(ids, names, strict=True)
    }
    assert len(made) == 2
    assert dead_letters(deployment) == []
    judge.check_logs()


def test_an_ask_that_kills_every_worker_ends_in_the_dead_letters(
    deployment: Service, judge: Judge, fleet: Fleet, rabbitmq: PrivateRabbit
) -> None:
    """As what it was: replayed to a worker that lives, it is done."""
    deployment.run("hold")
    fleet.workers("first")
    ids = judge.submit(2)
    judge.await_states(ids, "accepted")
    fleet.end("first")
    with publisher(deployment) as producer:
        body = json.dumps({"job_id": ids[0]}).encode()
        publish(producer, "sam3d.inbox", "cancel", Broken("", body, {"message_id": str(uuid.uuid4())}))
        publish(producer, "", "sam3d.requests", task("", [[], {"job_id": ids[1]}, {}], task="sam3d.cancel"))
    told = "SELECT payload->>'ask' AS ask, payload->'error'->>'code' AS code FROM events WHERE type ~ 'refused$'"
    run_poisoned(fleet, "ask.taken", lambda: count(rabbitmq, deployment, "sam3d.dead") == len(judge.rows(told)) == 2)
    why = f"no worker got through with it, {MAX_DELIVERIES + 1} times"
    found = {(each["reason"], each["exchange"], each["routing_key"]) for each in dead_letters(deployment)}
    assert found == {(why, "", "sam3d.requests"), (why, "sam3d.inbox", "cancel")}
    assert judge.rows(told) == [{"ask": "cancel", "code": "put_aside"}] * 2
    assert judge.states(ids) == {"accepted": 2}
    fleet.workers("healthy")
    deployment.run("dead", "replay", "--all", "--yes")
    judge.await_states(ids, "cancelled")
    assert dead_letters(deployment) == []


def test_an_ask_waits_for_the_database(
    deployment: Service, judge: Judge, fleet: Fleet, postgres: PrivatePostgres
) -> None:
    """Whichever way it came it goes round in the delay ladder, and is what it was when it comes again."""
    deployment.run("hold")
    fleet.workers("worker")
    ids = judge.submit(2)
    judge.await_states(ids, "accepted")
    postgres.stop(immediate=True)
    judge.ask("cancel", ids)
    wait_until(lambda: len(fleet.logged("worker", "request_delayed")) >= 2, "both ways in were told to wait")
    postgres.start()
    judge.await_states(ids, "cancelled")
    assert dead_letters(deployment) == []
