"""What came back, and why."""

from typing import Any
from uuid import uuid4

import pytest
from kombu.message import Message

from worker.broker.quarantine import DELIVERIES
from worker.broker.topology import MAX_DELIVERIES, RECONSTRUCT_TASK
from worker.intake import redelivery
from worker.intake.envelope import Envelope
from worker.intake.redelivery import COUNTED_BY_BROKER, Losses, is_back, is_last, number_of_deliveries, request_of
from worker.intake.request import derived_job_id
from worker.rules.asks import ASK_TASKS, Ask


def message(headers: dict[str, Any], body: Any = b"") -> Message:
    """Make a message that came back."""
    return Message(body=body, headers=headers, delivery_info={"redelivered": True})


def test_only_what_was_sent_comes_back() -> None:
    """A step's message is a hint; the database knows what is to be done."""
    assert all(is_back(message({"task": name})) for name in (RECONSTRUCT_TASK, *ASK_TASKS))
    others: list[Any] = ["sam3d.poll", None, ["sam3d.status"], {}]
    assert not any(is_back(message({"task": name})) for name in others)


def test_a_loss_explains_what_comes_back_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and not for ever."""
    losses = Losses()
    seen = [losses.is_recent]
    losses.note()
    seen.append(losses.is_recent)
    monkeypatch.setattr(redelivery, "LOSS_EXPLAINS", redelivery.LOSS_EXPLAINS * 0)
    assert [*seen, losses.is_recent] == [False, True, False]


@pytest.mark.parametrize("counted", [None, "7", True, -1, 2.5, []])
def test_a_count_that_is_none_is_nothing(counted: object) -> None:
    """Whatever a sender put there."""
    assert number_of_deliveries(message({DELIVERIES: counted})) == 0


def test_the_last_delivery_is_known() -> None:
    """One more, and the broker would put the message aside by itself."""
    assert not is_last(message({COUNTED_BY_BROKER: MAX_DELIVERIES - 1}))
    assert is_last(message({COUNTED_BY_BROKER: MAX_DELIVERIES}))


def test_what_comes_for_the_first_time_has_no_count() -> None:
    """The broker gives none with it: its sender has written that."""
    new = message({COUNTED_BY_BROKER: MAX_DELIVERIES})
    new.delivery_info = {"redelivered": False}
    assert not is_last(new)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"[[], 3, {}]", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(("task", "ask"), [(RECONSTRUCT_TASK, None), ("sam3d.retry", Ask.RETRY), (["x"], None)])
def test_what_can_not_be_read_has_no_fields(body: bytes, task: object, ask: Ask | None) -> None:
    """Its identity is that of the task."""
    task_id = str(uuid4())
    assert request_of(message({"id": task_id, "task": task}, body)) == Envelope(
        {}, derived_job_id("celery", task_id), ask=ask
    )


def test_an_ask_has_what_its_properties_say_but_no_priority() -> None:
    """An app that gives each of its tasks a priority may ask as well."""
    came = message({"id": "1", "task": "sam3d.status"}, b'[["x"], {"job_id": "j"}, {}]')
    said: dict[str, Any] = {"priority": 7, "expiration": "60000", "reply_to": "a"}
    came.properties = said
    assert request_of(came).fields == {"job_id": "j", "args": ["x"], "expiration": "60000"}
