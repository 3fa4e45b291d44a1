"""What is known of a dead letter, and what of it goes back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.message import Message

from worker.broker import dead_letters
from worker.broker.dead_letters import DeadLetter, Way
from worker.rules.asks import Ask

BROKERS = {
    "x-death": [
        {"count": 1, "reason": "delivery_limit", "exchange": "sam3d", "queue": "sam3d.poll", "routing-keys": ["poll"]},
        {"count": 1, "reason": "expired", "exchange": "sam3d.delay.1", "routing-keys": ["poll"]},
    ],
    "x-first-death-reason": "expired",
    "x-delivery-count": 0,
}
OURS = {"x-sam3d-reason": "the body is not JSON", "x-sam3d-exchange": "sam3d.inbox", "x-sam3d-key": "reconstruct"}


def letter(body: bytes = b"{}", headers: dict[str, Any] | None = None, **properties: Any) -> DeadLetter:
    """Make a dead letter, as it comes from the broker."""
    whole: Any = body
    message = Message(body=whole, headers=headers, properties=properties, content_type="application/json")
    return DeadLetter(message)


@pytest.mark.parametrize(
    ("headers", "reason", "came_by"),
    [
        (OURS, "the body is not JSON", ("sam3d.inbox", "reconstruct")),
        (BROKERS, "delivery_limit", ("sam3d", "poll")),
        ({**BROKERS, **OURS}, "the body is not JSON", ("sam3d.inbox", "reconstruct")),
        ({"x-sam3d-reason": "r", "x-sam3d-exchange": "", "x-sam3d-key": "sam3d.requests"}, "r", ("", "sam3d.requests")),
        ({}, "unknown", ("", "")),
        ({"x-death": "nonsense"}, "unknown", ("", "")),
        ({"x-death": [7, {"reason": "rejected", "routing-keys": 7}]}, "rejected", ("", "")),
    ],
)
def test_why_it_is_there_and_where_it_came_from(headers: dict[str, Any], reason: str, came_by: tuple[str, str]) -> None:
    """We say so, or else the broker does; the waits in the delay ladder are none of it."""
    assert (letter(headers=headers).reason, letter(headers=headers).came_by) == (reason, came_by)


def test_its_id_is_the_same_at_every_look() -> None:
    """What the broker counts meanwhile is not part of it; body, identity and way are."""
    first = letter(headers=OURS, message_id="m-1")
    assert first.id == letter(headers={**OURS, "x-delivery-count": 3}, message_id="m-1").id
    others = [
        letter(b"{ }", OURS, message_id="m-1"),
        letter(headers=OURS, message_id="m-2"),
        letter(headers={**OURS, "id": "task"}, message_id="m-1"),
        letter(headers={**OURS, "x-sam3d-key": "other"}, message_id="m-1"),
    ]
    assert len({each.id for each in [first, *others]}) == 5


def test_its_summary_holds_nothing_of_its_content() -> None:
    """A list of dead letters can be shown to anybody."""
    text = json.dumps(letter(b'{"prompt": "m4rk3r"}', {**OURS, "secret": "m4rk3r"}).summary())
    assert "m4rk3r" not in text
    assert '"bytes": 20' in text


@pytest.mark.parametrize(("body", "encoding"), [(b'{"a": 1}', "utf-8"), (b"\xff\xfe", "base64")])
def test_its_contents_are_all_there(body: bytes, encoding: str) -> None:
    """A body that is no text is base64."""
    contents = letter(body, OURS, correlation_id="c").contents()
    assert (contents["body_encoding"], contents["headers"], contents["properties"]) == (
        encoding, OURS, {"correlation_id": "c"},
    )  # fmt: skip


def test_it_goes_back_without_what_was_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity stays, so that it becomes the same job; what the way to the dead letters left is gone."""
    sent: list[Any] = []
    acknowledged: list[bool] = []
    monkeypatch.setattr(dead_letters, "publish_copy", lambda *given: sent.append(given[2:]))
    monkeypatch.setattr(Message, "ack", lambda *_: acknowledged.append(bool(sent)))
    own = {"id": "7", "task": "sam3d.reconstruct", "ce-type": "x"}
    producers: Any = None
    given = letter(headers={**own, **BROKERS, **OURS, "x-sam3d-deliveries": 6})
    dead_letters.send_back(producers, given, dead_letters.TO_INBOX)
    assert sent == [(own, "sam3d.inbox", "reconstruct")]
    assert acknowledged == [True]


ROUTES = {
    ("", "sam3d.requests"),
    ("sam3d.inbox", "reconstruct"),
    *(("sam3d.inbox", ask) for ask in Ask),
    ("sam3d", "submit"),
    ("sam3d", "poll"),
    ("sam3d", "fetch"),
}
"""All that a replay may ever publish to."""

NAMES = (
    st.sampled_from(["", *(name for way in dead_letters.WAYS_BACK for name in way), "sam3d.events", "amq.fanout"])
    | st.text()
)
CLAIMS = st.dictionaries(st.sampled_from(["x-sam3d-exchange", "x-sam3d-key"]), NAMES | st.none() | st.integers())
DEATHS = st.builds(
    lambda exchange, key: {"x-death": [{"reason": "rejected", "exchange": exchange, "routing-keys": [key]}]},
    NAMES,
    NAMES,
)


@given(headers=st.builds(lambda claims, deaths: {**claims, **deaths}, CLAIMS, DEATHS | st.just({})))
def test_it_goes_back_by_a_way_of_ours_or_stays(headers: dict[str, Any]) -> None:
    """Whatever its headers say, which anybody who reaches the broker can write."""
    assert letter(headers=headers).way_back in {*ROUTES, None}


@pytest.mark.parametrize(
    ("came_by", "way_back"),
    [
        (("", "sam3d.requests"), ("", "sam3d.requests")),
        (("sam3d.requests", "sam3d.requests"), ("", "sam3d.requests")),
        (("sam3d", "requests"), ("", "sam3d.requests")),
        (("sam3d", "inbox"), ("sam3d.inbox", "reconstruct")),
        (("", "sam3d.inbox"), ("sam3d.inbox", "reconstruct")),
        (("sam3d.inbox", "cancel"), ("sam3d.inbox", "cancel")),
        (("sam3d", "inbox-retry"), ("sam3d.inbox", "retry")),
        (("sam3d.inbox", "inbox-retry"), None),
        (("", "sam3d.poll"), ("sam3d", "poll")),
        (("sam3d", "fetch"), ("sam3d", "fetch")),
        (("sam3d", "dead"), None),
        (("", "sam3d.dead"), None),
        (("sam3d.events", "sam3d.reconstruction.succeeded"), None),
        (("sam3d", "#"), None),
        (("", ""), None),
    ],
)
def test_each_of_our_queues_has_one_way_back(came_by: tuple[str, str], way_back: tuple[str, str] | None) -> None:
    """However a message came to it: from a producer, the delay ladder, or published to the queue by name."""
    assert letter(headers={"x-sam3d-exchange": came_by[0], "x-sam3d-key": came_by[1]}).way_back == way_back


def test_nothing_is_published_elsewhere() -> None:
    """Not even where the command line were wrong."""
    assert set(dead_letters.WAYS_BACK.values()) == ROUTES
    producers: Any = None
    with pytest.raises(ValueError, match=r"sam3d\.events/x is no way of ours"):
        dead_letters.send_back(producers, letter(), Way("sam3d.events", "x"))
