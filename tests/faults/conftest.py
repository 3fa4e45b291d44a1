"""A deployment in which a test breaks things: scaled-down intervals, no process started, and a judge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import INTERVALS, Service, deployed
from tests.support.judge import Judge
from tests.support.running import listener, service, simulator
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.witness import Witness
from worker.simulator import Simulator

__all__ = ["listener", "service", "simulator"]


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
