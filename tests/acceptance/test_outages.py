"""A request that comes at a bad moment is accepted later, whichever way it came."""

import json
from uuid import uuid4

from celery import Celery
from kombu import Connection

from tests.acceptance.conftest import Service
from tests.acceptance.listener import Listener
from tests.acceptance.test_bad_input import IMAGE
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.waiting import wait_until
from worker.lifecycle import EventType
from worker.simulator import Simulator


def test_a_request_waits_for_the_database(
    service: Service, simulator: Simulator, postgres: PrivatePostgres, listener: Listener
) -> None:
    """The message is not acknowledged into nothing: it comes again, under its own identity, until there is a row."""
    ids = [str(uuid4()), str(uuid4())]
    broker = service.environment["SAM3D_BROKER_URL"]
    postgres.stop(immediate=True)

    producer = Celery(broker=broker, set_as_current=False)
    producer.send_task("sam3d.reconstruct", kwargs={"image": IMAGE, "job_id": ids[0]}, queue="sam3d.requests")
    producer.close()
    with Connection(broker) as connection, connection.Producer() as plain:
        body = json.dumps({"image": IMAGE, "job_id": ids[1]}).encode()
        plain.publish(body, "reconstruct", exchange="sam3d.inbox", content_type="application/json")
    wait_until(lambda: service.log_of("worker").count("request_delayed") >= 2, "both ways in were told to wait")

    postgres.start()
    for job_id in ids:
        listener.wait_for(job_id, EventType.SUCCEEDED)
    assert len(simulator.ledger()) == 2


def test_a_job_outlives_its_worker_and_the_broker(
    service: Service, simulator: Simulator, rabbitmq: PrivateRabbit
) -> None:
    """A killed worker and a broker that lost its connections cost time, and nothing else."""
    simulator.update(run_time=5)
    sent = service.run("submit", *["worker/photos/cat.png"] * 5, "--json")
    ids = {row["job_id"] for row in json.loads(sent.stdout)}
    wait_until(lambda: len(simulator.ledger()) == len(ids), "every run was started")
    wait_until(lambda: _states(service) == {"processing"}, "every answer is committed")

    service.processes["worker"].kill()
    service.processes["worker"].wait()
    rabbitmq.restart()
    service.start("worker", "worker", "--concurrency", "4")

    wait_until(lambda: _states(service) == {"succeeded"}, "every job succeeds", within=120)
    assert len(simulator.ledger()) == len(ids)


def _states(service: Service) -> set[str]:
    return {row["state"] for row in json.loads(service.run("jobs", "--json").stdout)}
