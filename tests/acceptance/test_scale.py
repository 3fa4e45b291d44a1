"""Nobody blocks and nobody holds: many jobs in one small worker."""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.support.deployment import Service, deployed
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.app import create_app
from worker.client import Client
from worker.database.engine import create_database_engine, transaction
from worker.intake.prepare import prepare_request
from worker.rules.lifecycle import NOW, FollowUp, Step, Ticket
from worker.simulator import Simulator, SimulatorSettings

PHOTO = Path("worker/photos/cat.png")
MEMORY_MARGIN = 6 * 2**20
WAITING = 2_000


@pytest.fixture
def five_seconds(vhost_url: str, migrated_url: str, tmp_path: Path) -> Iterator[tuple[Service, Simulator]]:
    """Provide a deployment with default settings at a vendor whose runs take five seconds."""
    vendor = SimulatorSettings.model_validate({"run_time": 5, "credits": 1000})
    with (
        Simulator(vendor) as simulator,
        deployed(vhost_url, migrated_url, simulator, tmp_path, SAM3D_EXPECTED_RUN="31.7") as service,
    ):
        service.start("worker", "worker", "--concurrency", "8")
        service.start("scheduler", "scheduler")
        wait_until(lambda: "worker_ready" in service.log_of("worker"), "the worker consumes")
        yield service, simulator


def test_two_hundred_jobs_at_once(five_seconds: tuple[Service, Simulator]) -> None:
    """200 jobs of 5 s, sent at once to one worker with 8 threads, succeed in under a minute: nobody blocks."""
    service, simulator = five_seconds
    with Client(service.settings) as client:
        started = time.monotonic()
        ids = [client.send(prepare_request(PHOTO)) for _ in range(200)]
        outcomes = [event for event in client.follow(ids) if event.is_outcome]
        elapsed = time.monotonic() - started

    print(f"200 jobs in {elapsed:.1f} s, requests {simulator.requests()}")
    assert len(outcomes) == 200
    assert all(event.has_succeeded for event in outcomes)
    assert len(simulator.ledger()) == 200
    assert elapsed < 60


def test_thousands_of_waiting_jobs_cost_no_memory(service: Service, rabbitmq: PrivateRabbit) -> None:
    """A worker that was handed thousands of jobs that are not due holds none of them: they wait in the broker."""
    with Client(service.settings) as client:
        for job_id in [client.submit(PHOTO) for _ in range(20)]:
            client.wait(job_id)
    worker = psutil.Process(service.processes["worker"].pid)
    before = worker.memory_info().rss

    tickets = _processing_jobs(service, WAITING)
    app = create_app(service.settings)
    for ticket in tickets:
        app.services.post.send(FollowUp(Step.POLL, ticket, NOW))
    app.close()
    wait_until(lambda: _waiting_in_broker(rabbitmq, service) == WAITING, "every job waits in the broker", within=180)

    grown = worker.memory_info().rss - before
    print(f"{WAITING} jobs waiting: the worker grew by {grown / 2**20:.1f} MiB from {before / 2**20:.0f} MiB")
    assert grown < MEMORY_MARGIN


def _processing_jobs(service: Service, count: int) -> list[Ticket]:
    """Add jobs whose runs are polled next in some minutes, which is as far as anything is put off."""
    engine = create_database_engine(service.settings.database.url, 1)
    with transaction(engine) as connection:
        rows = connection.execute(
            text(
                "INSERT INTO jobs (id, state, fingerprint, request_id, submitted_at, due_at, sweep_at) "
                "SELECT gen_random_uuid(), 'processing', 'x', 'run-' || n, now(), later, later "
                "FROM generate_series(1, :count) n, (SELECT now() + interval '9 minutes' AS later) "
                "RETURNING id, version"
            ),
            {"count": count},
        ).all()
    engine.dispose()
    return [Ticket(str(row.id), row.version) for row in rows]


def _waiting_in_broker(rabbitmq: PrivateRabbit, service: Service) -> int:
    vhost = service.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    return sum(queue.messages for queue in rabbitmq.queues(vhost) if queue.name.startswith("sam3d.delay."))
