"""A broker that refuses for a while, or flaps: workers wait for it, and no good request is put aside for it."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.deployment import Service, start_all, told_again
from tests.support.judge import Judge
from tests.support.messages import dead_letters
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import MAX_DELIVERIES

MINIMUM_OF_CONNECTIONS = 4
"""The worker's two, the scheduler's and the witness's."""


def test_a_virtual_host_that_is_made_anew(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """As long as it is not there the worker is refused; it waits, and goes on by itself."""
    start_all(deployment)
    name = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    ids = judge.submit(4)
    judge.await_states(ids, "processing", "fetching", "succeeded")
    with told_again(deployment, "broker_refuses"):
        rabbitmq.delete_vhost(name)
    rabbitmq.create_vhost(name)
    judge.witness.bind()
    judge.check(ids)
    assert deployment.processes["worker"].poll() is None


def test_a_password_that_is_changed(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """A worker that had worked waits until it is let in again; one that starts is told at once."""
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]
    deployment.environment["SAM3D_BROKER_URL"] = rabbitmq.create_user(vhost, "rotating", "first")
    start_all(deployment)
    ids = judge.submit(4)
    judge.await_states(ids, "processing", "fetching", "succeeded")
    with told_again(deployment, "broker_refuses"):
        rabbitmq.change_password("rotating", "second")
        rabbitmq.close_connections()
    assert deployment.run("worker", check=False).returncode != 0
    rabbitmq.change_password("rotating", "first")
    judge.check(ids)
    assert deployment.processes["worker"].poll() is None


def test_a_broker_that_flaps_puts_no_good_request_aside(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """More often than a request may come back, while the database is too slow for any to be accepted."""
    start_all(deployment)
    name = deployment.environment["SAM3D_DATABASE_URL"]
    with _locked(name):
        ids = judge.submit(8)
        for _ in range(MAX_DELIVERIES + 3):
            wait_until(lambda: rabbitmq.connections >= MINIMUM_OF_CONNECTIONS, "everybody is connected again")
            rabbitmq.close_connections()
    judge.check(ids)
    assert dead_letters(deployment) == []


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Let nobody have a look at the jobs."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("LOCK TABLE jobs")
        yield
