"""Connections that are reset, once or every few seconds, slow, or half-open, to the broker and to the database."""

from collections.abc import Iterator

import pytest

from tests.support.deployment import IMPATIENT, Service, start_all, told_again
from tests.support.judge import Judge
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.proxy import Proxy, Way
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until

NOTICED = ("event_delayed", "step_unsent", "step_delayed", "request_delayed", "answer_delayed", "intent_delayed")
RESETS = 8


@pytest.fixture
def proxies(deployment: Service, rabbitmq: PrivateRabbit, postgres: PrivatePostgres) -> Iterator[tuple[Proxy, Proxy]]:
    """Provide the ways to the broker and to the database of a worker and a scheduler that run."""
    environment = deployment.environment
    with Proxy(rabbitmq.port) as broker, Proxy(postgres.port) as database:
        through = {
            "SAM3D_BROKER_URL": _by(broker, environment["SAM3D_BROKER_URL"], rabbitmq.port),
            "SAM3D_DATABASE_URL": _by(database, environment["SAM3D_DATABASE_URL"], postgres.port),
        }
        start_all(deployment, **IMPATIENT, **through)
        yield broker, database
        deployment.stop()


def _by(proxy: Proxy, url: str, port: int) -> str:
    return url.replace(f":{port}/", f":{proxy.port}/")


def test_connections_that_break_and_lose(deployment: Service, judge: Judge, proxies: tuple[Proxy, Proxy]) -> None:
    """Reset every second, slow, and silent in one direction or in both: all jobs end once, when it is over."""
    ids: list[str] = []
    for proxy in proxies:
        before = proxy.resets
        with proxy.resetting_every(1.0):
            ids += judge.submit(10)
            _await_resets(proxy, before + RESETS)
        proxy.delay(0.05)
        ids += judge.submit(4)
        for ways in ((Way.REPLIES,), (Way.REQUESTS, Way.REPLIES)):
            judge.await_states(ids, "processing", "fetching", "succeeded")
            ids += judge.submit(4)
            with told_again(deployment, *NOTICED):
                proxy.swallow(*ways)
            proxy.heal()
    judge.check(ids)


def _await_resets(proxy: Proxy, count: int) -> None:
    wait_until(lambda: proxy.resets >= count, "connections were reset again and again")
