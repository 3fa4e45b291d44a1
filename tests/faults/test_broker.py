"""A broker that is killed, frozen, full, or has lost everything: what it forgot is driven again from the database."""

from collections.abc import Callable
from typing import Any

from kombu import Connection

from tests.support.deployment import IMPATIENT, Service, start_all, told_again
from tests.support.judge import Judge
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import LADDER, delay_queue, queue_name
from worker.rules.lifecycle import Step
from worker.simulator import Simulator

KILLS = 2
CLOSURES = 8
UNSENT = ("event_delayed", "step_unsent")
MINIMUM_OF_CONNECTIONS = 4
"""The worker's two, the scheduler's and the witness's."""


def test_a_broker_that_goes_away_ten_times(
    deployment: Service, simulator: Simulator, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """50 jobs run while it is killed twice and closes all connections eight times; what comes again does no harm."""
    simulator.update(run_time=10)
    start_all(deployment)
    ids = judge.submit(50)
    judge.await_states(ids, "processing", "fetching", "succeeded", at_least=40)
    for _ in range(KILLS):
        rabbitmq.settle()
        rabbitmq.kill()
        rabbitmq.start()
        ids += judge.submit(4)
    for _ in range(CLOSURES):
        wait_until(lambda: rabbitmq.connections >= MINIMUM_OF_CONNECTIONS, "everybody is connected again")
        ids += judge.submit(2)
        rabbitmq.close_connections()
    judge.check(ids, within=90)


def test_a_broker_that_takes_nothing(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """Out of memory, out of disk, frozen: who publishes gives up, and the outbox drains afterwards."""
    start_all(deployment, **IMPATIENT)
    troubles: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (rabbitmq.raise_memory_alarm, rabbitmq.clear_alarms),
        (rabbitmq.raise_disk_alarm, rabbitmq.clear_alarms),
        (rabbitmq.freeze, rabbitmq.thaw),
    ]
    ids: list[str] = []
    for break_it, heal_it in troubles:
        judge.await_states(ids, "processing", "fetching", "succeeded")
        with told_again(deployment, *UNSENT):
            ids += judge.submit(8)  # The worker is at them when it breaks.
            break_it()
        heal_it()
    judge.check(ids)


def test_everything_in_the_broker_is_lost(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """The virtual host, a queue, the delay queues: they are declared again, consumed again, and the sweep sends."""
    start_all(deployment)
    url = deployment.environment["SAM3D_BROKER_URL"]
    name = url.rpartition("/")[2]
    losses: list[Callable[[], object]] = [
        lambda: _lose_everything(rabbitmq, name, judge),
        lambda: _delete(url, queue_name(Step.POLL)),
        lambda: _delete(url, *(delay_queue(seconds).name for seconds in LADDER)),
    ]
    ids: list[str] = []
    for lose in losses:
        before = judge.submit(12)
        judge.await_states(before, "processing", "fetching", "succeeded")
        lose()
        ids += before
        judge.check(ids, within=90)
        wait_until(lambda: _is_complete(rabbitmq, name), "every queue is there, and read by whom it is for")
    ids += judge.submit(4)
    judge.check(ids)


def _lose_everything(rabbitmq: PrivateRabbit, name: str, judge: Judge) -> None:
    rabbitmq.delete_vhost(name)
    rabbitmq.create_vhost(name)
    judge.witness.bind()


def _delete(url: str, *names: str) -> None:
    with Connection(url, connect_timeout=5) as connection:
        channel: Any = connection.default_channel
        for name in names:
            channel.queue_delete(name)


def _is_complete(rabbitmq: PrivateRabbit, name: str) -> bool:
    """Tell whether the queues that workers read have their consumer, and the delay queues are there."""
    consumers = {queue.name: queue.consumers for queue in rabbitmq.queues(name)}
    read = ("sam3d.requests", "sam3d.inbox", *(queue_name(step) for step in Step))
    waits = (delay_queue(seconds).name for seconds in LADDER)
    return all(consumers.get(each) == 1 for each in read) and all(each in consumers for each in waits)
