"""The probes say within seconds that the broker is away, and cost it no connection each."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest

from tests.support.deployment import Service
from tests.support.services.ports import free_ports
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until

SECONDS = 25.0
"""Within which a probe tells of a broker that is frozen; one that is gone, sooner."""

PROBED_SECONDS = 4.0

Probe = Callable[[str], int]


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[PrivateRabbit]:
    """Provide a broker of these tests' own: one of 3.10.8 that was stopped and frozen in turn takes no new queues."""
    with PrivateRabbit() as node:
        yield node


@pytest.fixture(params=["worker", "scheduler"])
def probe(request: pytest.FixtureRequest, deployment: Service) -> Probe:
    """Start a process of each kind; return what asks it and gives the status, 0 for none."""
    (port,) = free_ports(1)
    settings = {"SAM3D_HEALTH_PORT": str(port), "SAM3D_SWEEP_INTERVAL": "3600"}
    process = deployment.start("process", request.param, **settings)

    def asked(path: str) -> int:
        assert process.poll() is None, deployment.log_of("process")
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30).status_code
        return 0

    wait_until(lambda: asked("/readyz") == 200, "it is ready")
    return asked


def test_probes_make_no_connections(probe: Probe, rabbitmq: PrivateRabbit) -> None:
    """However long they go on: what one found is told for a second, and the next ones look anew."""
    before, ends_at = rabbitmq.connections_made, time.monotonic() + PROBED_SECONDS
    wait_until(lambda: (probe("/readyz"), time.monotonic() > ends_at) == (200, True), "some looks were made")
    assert rabbitmq.connections_made <= before + 1, "the first sweep's"


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_a_broker_that_is_away(probe: Probe, rabbitmq: PrivateRabbit, how: str) -> None:
    """The process turns and is not ready; once the broker is back, it is."""
    rabbitmq.settle()
    getattr(rabbitmq, how)()
    wait_until(lambda: probe("/readyz") == 503, "it is not ready", SECONDS)
    assert probe("/livez") == 200
    rabbitmq.heal()
    wait_until(lambda: probe("/readyz") == 200, "it is ready again", 60)
