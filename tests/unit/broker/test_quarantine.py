"""How long ago a message was seen first: what tells that, and that it goes with the message wherever that goes."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu.message import Message

from worker.broker import dead_letters, quarantine
from worker.broker.quarantine import REASON, SEEN, SEEN_BEFORE, seen_for

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
DEATH = {"reason": "delivery_limit", "exchange": "sam3d.inbox", "routing-keys": ["reconstruct"], "time": AT}
MARKS = {REASON: "r", quarantine.EXCHANGE: "sam3d.inbox", quarantine.KEY: "reconstruct"}


def message(headers: dict[str, Any] | None = None, *, redelivered: bool = False) -> Message:
    """Make a message as it comes from the broker."""
    return Message(body=b"{}", headers=headers, properties={}, delivery_info={"redelivered": redelivered})  # type: ignore[arg-type]


@pytest.mark.parametrize("mark", [None, "soon", 7.5, 10**30, True])
def test_a_new_message_is_seen_now(mark: object) -> None:
    """A mark that is none, or that is of the future, changes nothing."""
    assert seen_for(message({SEEN: mark} if mark else {})) == timedelta(0)


def test_a_mark_and_the_broker_tell_its_age() -> None:
    """It was put away ten minutes ago; one that is delivered again may have come before that."""
    marked = {SEEN: int(time.time()) - 600}
    assert timedelta(seconds=600) <= seen_for(message(marked)) < timedelta(seconds=630)
    assert seen_for(message(redelivered=True)) == SEEN_BEFORE
    assert seen_for(message(marked, redelivered=True)) >= SEEN_BEFORE + timedelta(seconds=600)


def test_what_is_put_away_keeps_when_it_was_seen_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first to put it away marks it; the next ones leave the mark."""
    sent: list[Any] = []
    monkeypatch.setattr(quarantine, "publish_copy", lambda *given: sent.append(given[2]))
    monkeypatch.setattr(Message, "ack", lambda *_: None)
    producers: Any = None
    quarantine.publish_again(producers, message(), exchange="", routing_key="q")
    quarantine.publish_again(producers, message({SEEN: 17}), exchange="", routing_key="q")
    assert time.time() - 30 < sent[0][SEEN] <= time.time()
    assert sent[1][SEEN] == 17


@pytest.mark.parametrize(
    ("headers", "seen_at"),
    [
        ({**MARKS, SEEN: 17}, 17),
        ({"x-death": [DEATH]}, int((AT - SEEN_BEFORE).timestamp())),
        ({"x-death": [{**DEATH, "time": AT.replace(tzinfo=None)}]}, int((AT - SEEN_BEFORE).timestamp())),
        (MARKS, None),
    ],
)
def test_a_replayed_message_is_as_old_as_it_is(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, Any], seen_at: int | None
) -> None:
    """Weeks in the dead letters make no new request of it."""
    sent: list[Any] = []
    monkeypatch.setattr(dead_letters, "publish_copy", lambda *given: sent.append(given[2]))
    monkeypatch.setattr(Message, "ack", lambda *_: None)
    producers: Any = None
    dead_letters.send_back(producers, dead_letters.DeadLetter(message(headers)), dead_letters.TO_INBOX)
    assert sent == [{SEEN: seen_at} if seen_at else {}]
