"""Messages that are broken, hostile, late, doubled or many: none stops a worker, each is kept, good jobs go on."""

import json
import os
import signal
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kombu import Connection, Producer

from tests.acceptance.conftest import SECRET_PROMPT, Service
from tests.faults.conftest import start_all
from tests.faults.judge import Judge, prompt_of, tiny_image
from tests.services.rabbitmq import PrivateRabbit
from tests.waiting import wait_until
from worker.frames import UNREADABLE
from worker.simulator import Simulator
from worker.topology import CONNECTION, declare

BOMB = zlib.compress(bytes(500_000_000), level=1)
MEMORY_MIB = 400
BURST = int(os.environ.get("TEST_BURST", "150"))
"""How many requests come at once; 5,000 of them take two cores many minutes."""


@dataclass(frozen=True)
class Broken:
    """A message that holds no request, and the reason that is given for it."""

    why: str
    body: bytes = b"{}"
    properties: dict[str, Any] = field(default_factory=dict)


def task(why: str, body: object = None, properties: dict[str, Any] | None = None, **headers: Any) -> Broken:
    """Make a broken task message: everything about it is right but what is given."""
    whole = [[], {}, {}] if body is None else body
    written = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    right = {"task": "sam3d.reconstruct", "id": str(uuid.uuid4())}
    return Broken(why, written, {"headers": {**right, **headers}, **(properties or {})})


def nested(levels: int) -> object:
    """Return lists within lists."""
    return [nested(levels - 1)] if levels else []


PLAIN = [
    Broken("the body is not JSON", b""),
    Broken("the body is not JSON", b"not json " + SECRET_PROMPT.encode()),
    Broken("the body is not JSON", b"\xff\xfe"),
    Broken("the body is not JSON", b"[" * 200_000),
    Broken("the body is not a JSON object", b"[1, 2]"),
    Broken("the body is not a JSON object", json.dumps(SECRET_PROMPT).encode()),
    Broken("the body is not a JSON object", b"null"),
    Broken("the body is not a JSON object", b"17"),
    Broken("the body is larger than 16 MiB", b'{"image": "' + b"A" * 20_000_000 + b'"}'),
    Broken("the CloudEvent's type", b'{"type": "x", "data": {}}', {"content_type": "application/cloudevents+json"}),
    Broken("the CloudEvent has no source", b"{}", {"headers": {"ce-type": "sam3d.reconstruction.requested"}}),
    Broken("its body is compressed", BOMB, {"headers": {"compression": "application/x-gzip"}}),
    Broken("its body is compressed", b"{}", {"headers": {"compression": "nope"}}),
    Broken("its content encoding", b"A" * 1_000_000, {"content_encoding": "punycode"}),
    Broken("its properties can't be decoded", b"{}", {"message_id": b"\xff\xfe"}),
    Broken("its properties can't be decoded", b"{}", {"content_type": b"\xff\xfe"}),
    Broken("the name of a header", b"{}", {"headers": {b"\xff": 1}}),
    Broken("it has a header", b"{}", {"headers": {UNREADABLE: SECRET_PROMPT}}),
    Broken("the body is not JSON", b"{", {"headers": {"CC": ["sam3d.inbox", "reconstruct"]}}),
    Broken("the body is not JSON", b"{", {"headers": {"x": "y" * 129_900}}),
]
TASKS = [
    task("it has no task id", id=None),
    task("it has no task id", id=""),
    task("it has no task id", id=7),
    task("its task is unknown", task=None),
    task("its task is unknown", task="sam3d.unknown"),
    task("its task is unknown", task=["sam3d.reconstruct"]),
    task("its task is unknown", task="celery.backend_cleanup"),
    task("its content type", properties={"content_type": "application/x-python-serialize"}),
    task("its body is not JSON", b"{"),
    task("its body is not JSON", b"\xff"),
    task("its body is not JSON", b"[" * 200_000),
    task("its body is nested too deep", [[], {"metadata": nested(150)}, {}]),
    task("its body is not [args, kwargs, embed]", SECRET_PROMPT),
    task("its body is not [args, kwargs, embed]", b"null"),
    task("its body is not [args, kwargs, embed]", 17),
    task("its body is not [args, kwargs, embed]", [{}, [], {}]),
    task("its body holds an object", [[], {"image": {"__type__": "datetime", "__value__": "x"}}, {}]),
    task("its body holds an object", [[], {"image": {"__type__": [], "__value__": "x"}}, {}]),
    task("it has an argument `self`", [[], {"self": 1}, {}]),
    task("it is part of a workflow", [[], {}, {"chain": "x"}]),
    task("it has a time limit", timelimit=["soon", {}]),
    task("it has a time limit", timelimit=[None]),
    task("it has an eta", eta={}),
    task("it has an eta", eta="2999-01-01T00:00:00+00:00"),
    task("it expires", expires="2001-01-01T00:00:00+00:00"),
    task("its number of retries", retries="many"),
    task("it does not name a version", [[], {"job_id": "x", "version": 1}, {}], task="sam3d.poll"),
    task("its body is compressed", BOMB, compression="application/x-gzip"),
    task("its properties can't be decoded", properties={"correlation_id": b"\xff\xfe"}),
    task("it has no task id", id=None, CC=["sam3d.requests"]),
]


@contextmanager
def publisher(deployment: Service) -> Iterator[Producer]:
    """Give a producer on the broker itself, whose queues are there."""
    with Connection(deployment.environment["SAM3D_BROKER_URL"], transport_options=CONNECTION) as connection:
        declare(connection)
        yield connection.Producer()


def publish(producer: Producer, exchange: str, key: str, message: Broken) -> None:
    """Publish a message as it is, however wrong."""
    how = {"content_type": "application/json", "content_encoding": "utf-8", **message.properties}
    producer.publish(message.body, exchange=exchange, routing_key=key, **how)


def count(rabbitmq: PrivateRabbit, deployment: Service, name: str) -> int:
    """Count the messages in a queue."""
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    return next(queue.messages for queue in rabbitmq.queues(vhost) if queue.name == name)


def dead_letters(deployment: Service) -> list[dict[str, Any]]:
    """Read what an operator sees."""
    letters: list[dict[str, Any]] = json.loads(deployment.run("dead", "list", "--json").stdout)
    return letters


def peak_memory(pid: int) -> float:
    """Return the most memory that a process ever had, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_every_malformed_message_is_kept_and_stops_nobody(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """Each is in the dead letters once, with its reason and its way; good jobs go on in the same process."""
    start_all(deployment)
    worker = deployment.processes["worker"]
    with publisher(deployment) as producer:
        for message in PLAIN:
            publish(producer, "sam3d.inbox", "reconstruct", message)
        for message in TASKS:
            publish(producer, "", "sam3d.requests", message)
    judge.check(judge.submit(4))

    everything = len(PLAIN) + len(TASKS)
    wait_until(lambda: count(rabbitmq, deployment, "sam3d.dead") == everything, "all are kept, each once")
    letters = dead_letters(deployment)
    ways = Counter((letter["exchange"], letter["routing_key"]) for letter in letters)
    assert ways == {("sam3d.inbox", "reconstruct"): len(PLAIN), ("", "sam3d.requests"): len(TASKS)}
    for why, times in Counter(message.why for message in PLAIN + TASKS).items():
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
    """A task of 20 MB can be read: it is a job that failed, and not a dead letter."""
    start_all(deployment)
    with publisher(deployment) as producer:
        job_id = str(uuid.uuid4())
        fields = {"image": "A" * 20_000_000, "job_id": job_id}
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
    assert "sam3d: The queue sam3d.poll is in the broker with other arguments: delete it" in refused.stderr
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
