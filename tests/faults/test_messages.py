"""Messages that are broken, hostile, late, doubled or many: none stops a worker, each is kept, good jobs go on."""

import json
import os
import signal
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from kombu import Connection, Producer

from tests.support.broken import PLAIN_ON_THE_WIRE, SECRET_PROMPT, TASKS_ON_THE_WIRE, Broken, task
from tests.support.deployment import Service, start_all
from tests.support.judge import Judge, prompt_of, tiny_image
from tests.support.messages import count, dead_letters, publish, publisher
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.simulator import Simulator

MEMORY_MIB = 400
BURST = int(os.environ.get("TEST_BURST", "150"))
"""How many requests come at once; 5,000 of them take two cores many minutes."""


def peak_memory(pid: int) -> float:
    """Return the most memory that a process ever had, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_malformed_messages_are_kept_and_stop_nobody(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """Each is in the dead letters once, with its reason and its way; good jobs go on in the same process.

    These are the worst; which reason each of the other shapes has is a unit test.
    """
    start_all(deployment)
    worker = deployment.processes["worker"]
    with publisher(deployment) as producer:
        for message in PLAIN_ON_THE_WIRE:
            publish(producer, "sam3d.inbox", "reconstruct", message)
        for message in TASKS_ON_THE_WIRE:
            publish(producer, "", "sam3d.requests", message)
    judge.check(judge.submit(4))

    sent = [*PLAIN_ON_THE_WIRE, *TASKS_ON_THE_WIRE]
    wait_until(lambda: count(rabbitmq, deployment, "sam3d.dead") == len(sent), "all are kept, each once")
    letters = dead_letters(deployment)
    ways = Counter((letter["exchange"], letter["routing_key"]) for letter in letters)
    assert ways == {
        ("sam3d.inbox", "reconstruct"): len(PLAIN_ON_THE_WIRE),
        ("", "sam3d.requests"): len(TASKS_ON_THE_WIRE),
    }
    for why, times in Counter(message.why for message in sent).items():
        assert sum(letter["reason"].startswith(why) for letter in letters) == times, why
    assert [count(rabbitmq, deployment, name) for name in ("sam3d.requests", "sam3d.inbox")] == [0, 0]
    assert worker.poll() is None
    assert peak_memory(worker.pid) < MEMORY_MIB, "nothing was unpacked"
    assert dead_letters(deployment) == letters, "looking takes nothing away"
    assert_shown(deployment, letters)


def assert_shown(deployment: Service, letters: list[dict[str, Any]]) -> None:
    """Check that an operator can look at what nobody could read."""
    marked = next(letter for letter in letters if letter["reason"] == "the body is not JSON" and letter["bytes"] > 9)
    assert SECRET_PROMPT in deployment.run("dead", "show", marked["id"]).stdout
    contents = json.loads(deployment.run("dead", "show", marked["id"], "--json").stdout)
    assert {name: contents[name] for name in marked} == marked
    refused = deployment.run("dead", "replay", marked["id"], "0123456789ab", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "sam3d: There is no dead letter 0123456789ab; see `sam3d dead list`.\n"


def test_a_request_that_is_too_large_fails_by_name(deployment: Service, judge: Judge) -> None:
    """A task within the 16 MiB of a message can be read: it is a job that failed, and not a dead letter."""
    start_all(deployment)
    with publisher(deployment) as producer:
        job_id = str(uuid.uuid4())
        fields = {"image": "A" * 15_000_000, "job_id": job_id}
        publish(producer, "", "sam3d.requests", task("", [[], fields, {}]))
        judge.await_states([job_id], "failed")
    judge.check([job_id], ends_in={"failed"})
    row = judge.rows("SELECT error_code, error_field FROM jobs WHERE id = %s", job_id)[0]
    assert row == {"error_code": "invalid_request", "error_field": "image"}
    assert dead_letters(deployment) == []


def test_copies_and_old_messages_change_nothing(deployment: Service, judge: Judge, simulator: Simulator) -> None:
    """One job, one run, whichever way its request comes again, and whatever comes after the end."""
    start_all(deployment)
    job_id = str(uuid.uuid4())
    fields = {"image": tiny_image(), "prompt": prompt_of(job_id), "job_id": job_id, "idempotency_key": "order-1"}
    with publisher(deployment) as producer:
        send_copies(producer, fields)
        judge.await_states([job_id], "succeeded")
        before = judge.rows("SELECT * FROM jobs")
        send_copies(producer, fields)
        for step in ("submit", "poll", "fetch"):
            for version in (1, 2, 3, 2**31 - 1):
                old = task("", [[], {"job_id": job_id, "version": version}, {}], task=f"sam3d.{step}")
                publish(producer, "sam3d", step, old)
        other = str(uuid.uuid4())
        for changed in ({**fields, "seed": 1}, {**fields, "job_id": other, "seed": 2}):
            publish(producer, "sam3d.inbox", "reconstruct", Broken("", json.dumps(changed).encode()))
        query = "SELECT count(*) FROM events WHERE type = 'sam3d.reconstruction.refused'"
        wait_until(lambda: judge.rows(query)[0]["count"] == 2, "the other payloads are refused")
        judge.check([*judge.submit(1), job_id])
    assert [row for row in judge.rows("SELECT * FROM jobs") if str(row["id"]) == job_id] == before
    assert len(simulator.ledger()) == 2
    assert dead_letters(deployment) == []


def send_copies(producer: Producer, fields: dict[str, Any]) -> None:
    """Publish the same request ten times, both ways."""
    for _ in range(5):
        publish(producer, "sam3d.inbox", "reconstruct", Broken("", json.dumps(fields).encode()))
        publish(producer, "", "sam3d.requests", task("", [[], fields, {}]))


def test_a_queue_in_another_shape_is_named(deployment: Service, judge: Judge) -> None:
    """Who starts says in one line what to delete; a scheduler that runs goes on with all else."""
    deployment.start("scheduler", "scheduler")
    wait_until(lambda: "scheduler_started" in deployment.log_of("scheduler"), "the scheduler runs")
    with Connection(deployment.environment["SAM3D_BROKER_URL"]) as connection:
        channel: Any = connection.default_channel
        deployment.processes["scheduler"].send_signal(signal.SIGSTOP)  # It would declare the queue in between.
        channel.queue_delete("sam3d.poll")
        channel.queue_declare("sam3d.poll", durable=True, auto_delete=False)
        deployment.processes["scheduler"].send_signal(signal.SIGCONT)
        wait_until(lambda: "topology_refused" in deployment.log_of("scheduler"), "the scheduler names it")
        judge.rows("INSERT INTO events (id, type, payload) VALUES (gen_random_uuid(), 'sam3d.account.held', '{}')")
        wait_until(lambda: "outbox_relayed" in deployment.log_of("scheduler"), "the scheduler goes on")
        refused = deployment.run("worker", check=False)
        channel.queue_delete("sam3d.poll")
    assert refused.returncode == 3
    assert "The queue sam3d.poll is in the broker with other arguments: delete it" in refused.stderr
    assert "Traceback" not in refused.stderr + deployment.log_of("scheduler")


def test_a_burst_is_worked_off(deployment: Service, judge: Judge, simulator: Simulator) -> None:
    """Thousands of requests within a minute: all end, and neither process grows with them."""
    simulator.update(run_time=1, credits=1e6)
    start_all(deployment)
    before = {name: peak_memory(process.pid) for name, process in deployment.processes.items()}
    ids = judge.submit(BURST)
    judge.await_states(ids, "succeeded", within=1500)
    judge.check(ids)
    for name, process in deployment.processes.items():
        assert process.poll() is None
        assert peak_memory(process.pid) < before[name] + 100, name
