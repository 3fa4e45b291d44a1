"""What a message asks, by whichever of its names."""

import pytest

from worker.broker.topology import queue_name
from worker.rules.asks import ASK_TASKS, ASK_TYPES, Ask, asked_by_key, asked_by_task
from worker.rules.lifecycle import EventType, Step


def test_names_are_the_public_contract() -> None:
    """What others publish keeps its name."""
    assert [ask.value for ask in Ask] == ["status", "cancel", "retry"]
    assert list(ASK_TASKS) == ["sam3d.status", "sam3d.cancel", "sam3d.retry"]
    assert list(ASK_TYPES) == [
        "sam3d.reconstruction.status.requested",
        "sam3d.reconstruction.cancel.requested",
        "sam3d.reconstruction.retry.requested",
    ]


def test_an_ask_is_no_step_and_no_event() -> None:
    """A task of its name is nobody else's, and what is announced is never taken for what is asked."""
    assert not {*ASK_TASKS} & {queue_name(step) for step in Step}
    assert not {*ASK_TYPES} & {*EventType}


@pytest.mark.parametrize("name", [None, 5, [], ["sam3d.status"], {}, "sam3d.reconstruct", "status", "sam3d.poll"])
def test_any_other_task_asks_nothing(name: object) -> None:
    """A sender may have written anything there."""
    assert asked_by_task(name) is None


@pytest.mark.parametrize("key", ["reconstruct", "sam3d.inbox", "STATUS", "", "#"])
def test_any_other_key_asks_nothing(key: str) -> None:
    """It is a request then."""
    assert asked_by_key(key) is None


@pytest.mark.parametrize("ask", Ask)
def test_each_name_asks_the_same(ask: Ask) -> None:
    """A routing key, a task and a CloudEvent."""
    assert asked_by_key(ask.value) is asked_by_task(f"sam3d.{ask}") is ask
    assert ASK_TYPES[f"sam3d.reconstruction.{ask}.requested"] is ask
