"""The services as fixtures: one server each for a whole run, a fresh virtual host and database for a test."""

import itertools
from collections.abc import Iterator

import pytest

from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from worker.database.schema import upgrade

_names = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """Provide the run's database server."""
    with PrivatePostgres() as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[PrivateRabbit]:
    """Provide the run's broker."""
    with PrivateRabbit() as node:
        yield node


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Provide the run's parent of workers and schedulers."""
    with Zygote() as parent:
        yield parent


@pytest.fixture(scope="session")
def template(postgres: PrivatePostgres) -> str:
    """Provide a database that has the schema, to be copied: that takes a tenth of the time of the migrations."""
    upgrade(postgres.create_database("template"))
    return "template"


@pytest.fixture
def migrated_url(postgres: PrivatePostgres, template: str) -> Iterator[str]:
    """Provide a fresh database that has the schema, and a server that runs whatever the test before did to it."""
    postgres.heal()
    name = f"test_{next(_names)}"
    yield postgres.create_database(name, template)
    postgres.heal()
    postgres.drop_database(name)


@pytest.fixture
def database_url(postgres: PrivatePostgres) -> Iterator[str]:
    """Provide a fresh, empty database, and a server that runs whatever the test before did to it."""
    postgres.heal()
    name = f"test_{next(_names)}"
    yield postgres.create_database(name)
    postgres.heal()
    postgres.drop_database(name)


@pytest.fixture
def vhost_url(rabbitmq: PrivateRabbit) -> Iterator[str]:
    """Provide a fresh virtual host; afterwards each queue in it must be one that RabbitMQ 4.3 accepts."""
    rabbitmq.heal()
    name = f"test-{next(_names)}"
    yield rabbitmq.create_vhost(name)
    rabbitmq.heal()
    refused = [queue.name for queue in rabbitmq.queues(name) if queue.is_transient_and_shared]
    rabbitmq.delete_vhost(name)
    assert not refused, "neither durable nor exclusive"


@pytest.fixture
def vhost(vhost_url: str) -> str:
    """Return the name of the test's virtual host."""
    return vhost_url.rpartition("/")[2]
