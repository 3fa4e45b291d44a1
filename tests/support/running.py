"""Fixtures of a service whose worker and scheduler are processes; the names are a ladder, each stands on those before.

A folder's conftest takes those that it wants, and may put one of its own in the place of another.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from tests.support.deployment import Service, deployed
from tests.support.listener import Listener
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.simulator import Simulator, SimulatorSettings


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide a vendor whose runs take two seconds."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 2})) as simulated:
        yield simulated


@pytest.fixture
def deployment(
    vhost_url: str, migrated_url: str, simulator: Simulator, zygote: Zygote, tmp_path: Path
) -> Iterator[Service]:
    """Provide a deployment in which nothing runs but what the test starts, on a broker that has nothing of ours yet."""
    with deployed(vhost_url, migrated_url, simulator, tmp_path, zygote) as prepared:
        yield prepared


@pytest.fixture
def service(deployment: Service) -> Service:
    """Provide a deployment with a worker and a scheduler that are ready."""
    deployment.start("worker", "worker", "--concurrency", "4")
    deployment.start("scheduler", "scheduler")
    wait_until(lambda: "worker_ready" in deployment.log_of("worker"), "the worker consumes")
    return deployment


@pytest.fixture
def listener(service: Service) -> Iterator[Listener]:
    """Provide a consumer that is bound before anything is sent."""
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection:
        yield Listener(connection)
