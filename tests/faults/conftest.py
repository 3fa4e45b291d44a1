"""A deployment in which a test breaks things: scaled-down intervals, no process started, and a judge."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import Service, deployed, listener, service, simulator
from tests.faults.judge import Judge
from tests.faults.witness import Witness
from tests.services.rabbitmq import PrivateRabbit
from tests.services.zygote import PATIENCE, Zygote
from tests.waiting import wait_until
from worker.simulator import Simulator

__all__ = ["listener", "service", "simulator"]

INTERVALS = {
    "SAM3D_SWEEP_INTERVAL": "0.5",
    "SAM3D_SWEEP_GRACE": "3",
    "SAM3D_RELAY_GRACE": "1",
    "SAM3D_PROBE_INTERVAL": "2",
    "SAM3D_SUBMIT_DEADLINE": "4",
    "SAM3D_READ_DEADLINE": "4",
    "SAM3D_DOWNLOAD_DEADLINE": "4",
    "SAM3D_LEASE_MARGIN": "2",
    "SAM3D_EXPECTED_RUN": "1",
    "SAM3D_RECONCILE_SETTLE": "2",
    "SAM3D_RECONCILE_DEADLINE": "20",
    "SAM3D_COMPARE_WAIT": "1",
}

IMPATIENT = {PATIENCE: "2"}
"""For processes that are to give up an answer of the broker or of the database after two seconds, not after ten."""


@pytest.fixture
def deployment(
    vhost_url: str, migrated_url: str, simulator: Simulator, zygote: Zygote, tmp_path: Path
) -> Iterator[Service]:
    """Provide a deployment with a schema, in which nothing runs but what the test starts."""
    with deployed(vhost_url, migrated_url, simulator, tmp_path, zygote, **INTERVALS) as prepared:
        yield prepared


@pytest.fixture
def judge(deployment: Service, simulator: Simulator, rabbitmq: PrivateRabbit) -> Iterator[Judge]:
    """Provide the judge, whose witness was bound before anything is sent."""
    witness = Witness(deployment.environment["SAM3D_BROKER_URL"])
    witness.start()
    judging = Judge(deployment, simulator, witness)
    yield judging
    judging.close()
    rabbitmq.heal()
    witness.stop()


def start_worker(deployment: Service, name: str = "worker", **environment: str) -> None:
    """Start a worker with four threads and wait until it consumes."""
    log = deployment.logs / f"{name}.log"
    begun = len(log.read_text()) if log.exists() else 0
    worker = deployment.start(name, "worker", "--concurrency", "4", **environment)

    def consumes() -> bool:
        assert worker.poll() is None, f"{name} ended:\n{log.read_text()[begun:][-2000:]}"
        return "worker_ready" in log.read_text()[begun:]

    wait_until(consumes, f"{name} consumes")


def start_all(deployment: Service, **environment: str) -> None:
    """Start a worker and a scheduler, and wait until the worker consumes."""
    deployment.start("scheduler", "scheduler", **environment)
    start_worker(deployment, **environment)


def count_logged(deployment: Service, *events: str) -> int:
    """Count the lines of these events in all logs of the deployment."""
    lines = [line for path in deployment.logs.glob("*.log") for line in path.read_text().splitlines()]
    return sum(f'"event": "{event}"' in line for line in lines for event in events)


@contextmanager
def told_again(deployment: Service, *events: str, within: float = 30) -> Iterator[None]:
    """Wait at the end until one of these events was logged that had not been at the beginning.

    The default limit is the longest that anything may hang.
    """
    before = count_logged(deployment, *events)
    yield
    wait_until(lambda: count_logged(deployment, *events) > before, f"{'/'.join(events)} is logged", within)
