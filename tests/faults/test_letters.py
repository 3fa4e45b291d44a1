"""What the log says of a message that was put aside finds it: the id of its dead letter, and the task's."""

import json
import uuid
from typing import Any

import psycopg

from tests.support.broken import PLAIN, TASKS, Broken, task
from tests.support.deployment import Service, start_worker
from tests.support.judge import Judge, tiny_image
from tests.support.messages import count, dead_letters, publish, publisher
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until


def logged(deployment: Service) -> list[dict[str, Any]]:
    """Return the worker's lines that name a dead letter."""
    lines = [json.loads(line) for line in deployment.log_of("worker").splitlines()]
    return [line for line in lines if "letter_id" in line]


def test_the_log_names_each_letter(deployment: Service, rabbitmq: PrivateRabbit) -> None:
    """However broken it is, and whatever of it did not fit; its id is the one that `sam3d dead show` takes."""
    start_worker(deployment)
    large = task("it has an eta", eta=1, large="y" * 129_900)
    sent = [*PLAIN, *TASKS, large]
    with publisher(deployment) as producer:
        for message in sent:
            way = ("", "sam3d.requests") if message in TASKS or message is large else ("sam3d.inbox", "reconstruct")
            publish(producer, *way, message)
    wait_until(lambda: len(logged(deployment)) == len(sent), "all were put aside")
    wait_until(lambda: count(rabbitmq, deployment, "sam3d.dead") == len(sent), "all are there")
    letters = {each["id"]: each for each in dead_letters(deployment)}
    assert {line["letter_id"] for line in logged(deployment)} == set(letters)
    named = {line["letter_id"]: line["task_id"] for line in logged(deployment)}
    assert {letters[each]["task_id"] or "" for each in letters} == {*named.values()}
    shown = deployment.run("dead", "show", next(iter(named)), "--json")
    assert json.loads(shown.stdout)["id"] == next(iter(named))


def test_the_log_names_the_letter_of_a_request_that_broke_us(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """Whichever way it came; its sender hears of it, under what he calls his message."""
    with psycopg.connect(deployment.environment["SAM3D_DATABASE_URL"].replace("+psycopg", "")) as connection:
        connection.execute(_BREAKING)
    start_worker(deployment)
    fields = {"image": tiny_image()}
    with publisher(deployment) as producer:
        request = task("", [[], fields, {}])
        request.properties["correlation_id"] = "order-1"
        publish(producer, "", "sam3d.requests", request)
        body = Broken("", json.dumps(fields).encode(), {"message_id": str(uuid.uuid4()), "correlation_id": "order-2"})
        publish(producer, "sam3d.inbox", "reconstruct", body)
    wait_until(lambda: count(rabbitmq, deployment, "sam3d.dead") == 2, "both are there")
    wait_until(lambda: len(logged(deployment)) == 2, "both were told of")
    letters = dead_letters(deployment)
    assert {line["letter_id"] for line in logged(deployment)} == {each["id"] for each in letters}
    assert {line["task_id"] for line in logged(deployment)} == {each["task_id"] or "" for each in letters}
    told = "SELECT correlation_id FROM events WHERE payload->'error'->>'code' = 'put_aside' ORDER BY 1"
    wait_until(
        lambda: [each["correlation_id"] for each in judge.rows(told)] == ["order-1", "order-2"], "both were told"
    )


_BREAKING = """
CREATE FUNCTION break() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'data_exception'; END $$;
CREATE TRIGGER breaking BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION break();
"""
