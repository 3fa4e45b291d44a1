"""The tasks of an app work with its own services."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from inspect import getclosurevars
from uuid import uuid4

import pytest
from celery import Celery
from pydantic import SecretStr

from worker.app import App, create_app
from worker.broker.topology import RECONSTRUCT_TASK, queue_name
from worker.config.environment import Settings
from worker.rules.asks import ASK_TASKS
from worker.rules.lifecycle import Step

NAMES = (RECONSTRUCT_TASK, *ASK_TASKS, *map(queue_name, Step))


@pytest.fixture
def two_apps() -> Iterator[tuple[App, App]]:
    """Provide two services in one process, which nothing is connected for."""
    with ExitStack() as opened:
        first, second = (
            opened.enter_context(
                closing(create_app(Settings().having(SAM3D_BROKER_URL=SecretStr(f"memory://{uuid4()}"))))
            )
            for _ in range(2)
        )
        yield first, second


@pytest.mark.parametrize("name", NAMES)
def test_two_services_of_one_process_share_no_task(two_apps: tuple[App, App], name: str) -> None:
    """Celery gives the tasks of one app to each that comes after it: a job would be done with another's database."""
    for app in two_apps:
        assert getclosurevars(app.tasks[name].run).nonlocals["services"] is app.services


def test_what_a_service_sends_by_is_its_own(two_apps: tuple[App, App]) -> None:
    """The pools of kombu have one limit for the process: an app that came later could not shrink what is in use."""
    ours, another = two_apps
    with Celery("shop", broker="memory://", set_as_current=False) as shop:
        shop.conf.broker_pool_limit = 2
        with ours.producer_pool.acquire(), another.producer_pool.acquire(), shop.producer_pool.acquire():
            assert [each.pool.limit for each in (ours, shop)] == [ours.conf.broker_pool_limit, 2]
