"""How messages wait in the broker, and which shapes other applications rely on."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Queue

from worker.broker.publishing import ACQUIRE_SECONDS
from worker.broker.topology import (
    CONFIRMED,
    CONNECTION,
    DEAD,
    INBOX_KEYS,
    LADDER,
    REQUESTS,
    REQUESTS_KEY,
    dead_queue,
    delay_exchange,
    delay_queue,
    events_exchange,
    inbox_queue,
    ladder_step,
    requests_queue,
    step_queues,
    work_exchange,
)
from worker.rules.lifecycle import EventType, Step


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(0, 1), (0.4, 1), (1, 1), (1.9, 1), (4.9, 3), (59.9, 34), (60, 60), (299, 120), (4000, 300)],
)
def test_a_delay_is_rounded_down_to_a_step(seconds: float, step: int) -> None:
    """A message may come early, never late; and never at once, or it would turn in a loop."""
    assert ladder_step(timedelta(seconds=seconds)) == step


@given(st.timedeltas(timedelta(seconds=-9), timedelta(days=1)))
def test_each_delay_has_a_queue(delay: timedelta) -> None:
    """Whatever the wait, it is one that the broker offers."""
    assert ladder_step(delay) in LADDER


@given(st.timedeltas(timedelta(seconds=1), timedelta(minutes=10)))
def test_a_wait_takes_few_messages(delay: timedelta) -> None:
    """A wait of up to ten minutes is put together of at most seven, and overshoots by less than a second."""
    messages = 0
    while delay > timedelta(0):
        delay -= timedelta(seconds=ladder_step(delay))
        messages += 1
    assert messages <= 7
    assert delay > timedelta(seconds=-1)


def test_the_ladder_rises_from_one_second() -> None:
    """Each step is a whole number of seconds, longer than the one below."""
    assert LADDER[0] == 1
    assert all(low < high for low, high in pairwise(LADDER))


@pytest.mark.parametrize("seconds", LADDER)
def test_a_delayed_message_comes_back_with_its_routing_key(seconds: int) -> None:
    """One TTL for the whole queue; dead letters go to the exchange of the work, their key untouched."""
    assert delay_queue(seconds).queue_arguments == {
        "x-queue-type": "quorum",
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": work_exchange.name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    assert delay_queue(seconds).exchange.name == delay_exchange(seconds).name
    assert delay_exchange(seconds).type == "fanout"


def test_a_plain_celery_producer_is_not_refused() -> None:
    """The queue of requests is as Celery declares one that it is given by name."""
    assert requests_queue.exchange.name == requests_queue.routing_key == requests_queue.name == REQUESTS
    assert requests_queue.exchange.type == "direct"
    assert requests_queue.durable
    assert not requests_queue.queue_arguments


@pytest.mark.parametrize("queue", [inbox_queue, *step_queues.values()], ids=lambda queue: queue.name)
def test_what_kills_every_worker_ends_in_the_dead_letters(queue: Queue) -> None:
    """What a node of the broker confirmed is not lost with it; what was delivered too often is put aside."""
    assert queue.queue_arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 10,
        "x-dead-letter-exchange": work_exchange.name,
        "x-dead-letter-routing-key": dead_queue.routing_key,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def test_looking_at_the_dead_letters_drops_none() -> None:
    """RabbitMQ 4 has a limit of its own where a quorum queue names none; each look is a delivery."""
    arguments = dead_queue.queue_arguments or {}
    assert (arguments["x-queue-type"], arguments["x-delivery-limit"]) == ("quorum", 1_000_000_000)
    assert "x-dead-letter-exchange" not in arguments


def test_every_wait_on_the_broker_is_bounded() -> None:
    """Two tries, each with its connect, its write and its confirm, end within 30 s."""
    waits = [CONNECTION[name] for name in ("connect_timeout", "read_timeout", "write_timeout")]
    tries = 1 + CONFIRMED["retry_policy"]["max_retries"]
    assert max(waits) <= CONFIRMED["confirm_timeout"] == 10
    assert tries * CONFIRMED["confirm_timeout"] + CONNECTION["connect_timeout"] <= 30 - ACQUIRE_SECONDS
    assert CONNECTION["confirm_publish"]


def test_each_step_has_a_queue_of_its_own() -> None:
    """Workers can be scaled by step, and no step's messages reach another's."""
    assert set(step_queues) == set(Step)
    own = (queue.routing_key for queue in step_queues.values())
    keys = [*own, dead_queue.routing_key, REQUESTS_KEY, *INBOX_KEYS.values()]
    assert len(keys) == len(set(keys))
    assert not any("." in key for key in keys)


def test_names_are_the_public_contract() -> None:
    """What others bind to and publish to keeps its name."""
    assert (DEAD, REQUESTS, inbox_queue.name, inbox_queue.routing_key, events_exchange.name) == (
        "sam3d.dead", "sam3d.requests", "sam3d.inbox", "reconstruct", "sam3d.events",
    )  # fmt: skip
    assert list(INBOX_KEYS) == ["reconstruct", "status", "cancel", "retry"]
    assert {event.rpartition(".")[0] for event in EventType} == {"sam3d.reconstruction", "sam3d.account"}
