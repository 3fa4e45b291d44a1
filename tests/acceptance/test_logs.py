"""What a process writes: a line of JSON each, whatever happens to it, and one for each end of a job."""

import json
import signal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from kombu import Connection

from tests.support.broken import SECRET_PROMPT
from tests.support.deployment import IMAGE, Service
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.simulator import Simulator

VENDORS = "a-word-of-the-vendor"
NOWHERE = "127.0.0.1:1"


def lines(service: Service, name: str) -> list[dict[str, Any]]:
    """Read all that a process wrote, to standard output and to standard error, as what it must be."""
    return [json.loads(line) for line in service.log_of(name).splitlines()]


def told(service: Service, name: str, event: str) -> list[dict[str, Any]]:
    """Return the lines about an event."""
    return [line for line in lines(service, name) if line["event"] == event]


def send(service: Service, **fields: Any) -> str:
    """Send a request as any producer does, and return the id of its job."""
    job_id = str(uuid4())
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as producer:
        body = json.dumps({"image": IMAGE, "job_id": job_id, **fields}).encode()
        producer.publish(body, "reconstruct", exchange="sam3d.inbox", content_type="application/json")
    return job_id


def fired(simulator: Simulator) -> int:
    """Return how often the vendor's faults have struck."""
    faults: list[dict[str, Any]] = httpx.get(f"{simulator.url}/_simulator/faults").json()["faults"]
    return sum(each["fired"] for each in faults)


def test_processes_that_are_told_to_stop(service: Service, simulator: Simulator) -> None:
    """With a step in hand, more than once, and asked for its stacks before; run by root, as these tests may be."""
    simulator.add_fault(call="submit", kind="hang", seconds=5)
    send(service)
    worker, scheduler = (service.processes[name] for name in ("worker", "scheduler"))
    wait_until(lambda: fired(simulator), "the step is in hand")
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
        said = len(told(service, "worker", "signal_received"))
        worker.send_signal(number)
        wait_until(lambda said=said: len(told(service, "worker", "signal_received")) > said, "it was heard")  # type: ignore[misc]
    scheduler.send_signal(signal.SIGTERM)
    assert [worker.wait(60), scheduler.wait(60)] == [0, 0]
    assert lines(service, "worker")[-1]["event"] == "worker_stopped"
    assert lines(service, "scheduler")[-1]["event"] == "scheduler_stopped"


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_without_a_broker_or_a_database(deployment: Service, command: str) -> None:
    """Who starts first waits for the others, and says so as long as it lasts."""
    broker, database = (f"{kind}://{NOWHERE}/x" for kind in ("amqp", "postgresql+psycopg"))
    deployment.start("no-broker", command, SAM3D_BROKER_URL=broker)
    deployment.start("no-database", command, SAM3D_DATABASE_URL=database)
    wait_until(lambda: "broker_unreachable" in deployment.log_of("no-broker"), "it waits for the broker")
    wait_until(lambda: "database_unreachable" in deployment.log_of("no-database"), "it waits for the database")
    deployment.stop()
    assert lines(deployment, "no-broker")
    assert lines(deployment, "no-database")


def test_a_broker_that_goes_away(deployment: Service, rabbitmq: PrivateRabbit) -> None:
    """And comes back: what Celery and kombu say of it are lines as well."""
    deployment.start("worker", "worker")
    wait_until(lambda: "worker_ready" in deployment.log_of("worker"), "the worker consumes")
    rabbitmq.close_connections()
    wait_until(lambda: deployment.log_of("worker").count("Connected to") > 1, "it is connected again")
    deployment.stop()
    assert lines(deployment, "worker")


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_what_ends_a_service_is_a_line_of_its_log(deployment: Service, command: str) -> None:
    """A setting that is wrong, and a broker that refuses it."""
    wrong = {"SAM3D_CONCURRENCY": "none"}
    refused = {"SAM3D_BROKER_URL": deployment.environment["SAM3D_BROKER_URL"].replace("guest:guest", "guest:wrong")}
    for name, environment in {"wrong": wrong, "refused": refused}.items():
        assert deployment.start(name, command, **environment).wait(60) == 3
        assert lines(deployment, name)[-1]["event"] == "process_failed"
    assert lines(deployment, "wrong")[-1]["reason"].startswith("SAM3D_CONCURRENCY")


def test_each_end_of_a_job_has_its_line(service: Service, simulator: Simulator) -> None:
    """With the code and our reason for it, what it cost, and no word of the vendor's or of the sender's."""
    simulator.add_fault(call="submit", kind="status", http_status=400, prompt="refused.", message=VENDORS)
    simulator.add_fault(call="submit", kind="fail_job", prompt="broken.", message=VENDORS)
    expected = {
        send(service): ("job_succeeded", "info", None),
        send(service, prompt="refused."): ("job_failed", "warning", "remote_refused"),
        send(service, prompt="broken."): ("job_failed", "warning", "remote_failed"),
        send(service, prompt=SECRET_PROMPT, seed=-1): ("job_failed", "warning", "invalid_request"),
    }

    def ends() -> dict[str, tuple[Any, ...]]:
        logged = [line for line in lines(service, "worker") if line["event"] in {"job_succeeded", "job_failed"}]
        return {line["job_id"]: (line["event"], line["level"], line.get("code")) for line in logged}

    wait_until(lambda: len(ends()) >= len(expected), "all have ended")
    assert ends() == expected
    failed = told(service, "worker", "job_failed")
    assert all(line["reason"].endswith(".") for line in failed)
    assert next(line["field"] for line in failed if line["code"] == "invalid_request") == "seed"
    assert [line["cost"] for line in told(service, "worker", "job_succeeded")] == [0.06]
    assert (
        VENDORS
        in service.run("job", next(line["job_id"] for line in failed if line["code"] == "remote_refused")).stdout
    )
    assert VENDORS not in service.log_of("worker")
    assert SECRET_PROMPT not in service.log_of("worker")
    submitted = {line["job_id"] for line in told(service, "worker", "job_submitted")}
    assert submitted == {job_id for job_id, (_, _, code) in expected.items() if code in {None, "remote_failed"}}


def test_a_hold_that_is_wanted_is_no_error(service: Service) -> None:
    """Whoever asks for it gets one sentence, and the log of the processes has no alarm."""
    held = service.run("hold", "--message", "a deploy")
    assert held.stderr == ""
    service.run("resume")


def test_which_scheduler_leads_is_said_when_it_changes(service: Service) -> None:
    """Once each, however long it lasts."""
    wait_until(lambda: told(service, "scheduler", "scheduler_leads"), "the first leads")
    second = service.start("second", "scheduler")
    wait_until(lambda: told(service, "second", "scheduler_follows"), "the second stands by")
    service.processes["scheduler"].send_signal(signal.SIGTERM)
    wait_until(lambda: told(service, "second", "scheduler_leads"), "the second leads")
    assert [len(told(service, "second", f"scheduler_{what}")) for what in ("follows", "leads")] == [1, 1]
    assert second.poll() is None
