"""A request that comes at a bad moment is accepted later, whichever way it came."""

import json
from uuid import uuid4

from celery import Celery
from kombu import Connection

from tests.support.deployment import IMAGE, Service
from tests.support.listener import Listener
from tests.support.services.postgres import PrivatePostgres
from tests.support.waiting import wait_until
from worker.rules.lifecycle import EventType
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
