"""Whose a request is: whom the broker vouches for, and who sent it first where we sent it on."""

from typing import Any

import pytest

from worker.rules.origin import SOURCE, is_name, is_own, read_origin, source_of, with_properties

US = "sam3d"


@pytest.mark.parametrize(
    ("user", "marked", "source"),
    [
        (None, None, ""),
        ("alice", None, "user alice"),
        (US, None, "user sam3d"),
        (US, "user alice", "user alice"),
        ("mallory", "user alice", "user mallory"),
        (None, "user alice", ""),
        ("", "user alice", ""),
        (5, None, ""),
        ("a\0", None, ""),
        ("a" * 256, None, ""),
        ("a" * 251, None, ""),
        ("a" * 250, None, "user " + "a" * 250),
        (US, "user " + "a" * 250, "user " + "a" * 250),
        (US, 5, "user sam3d"),
        (US, "a\nb", "user sam3d"),
    ],
)
def test_a_source_is_believed_where_the_broker_vouches_for_it(user: object, marked: object, source: str) -> None:
    """Our header counts in our own messages alone: the broker lets nobody else be us."""
    assert source_of({SOURCE: marked}, {"user_id": user}, US) == source


def test_nobody_is_asked_after_where_we_do_not_know_our_name() -> None:
    """A message that is sent on would lose its source, and its key be another one then."""
    assert source_of({}, {"user_id": "alice"}, None) == source_of({SOURCE: "user alice"}, {}, None) == ""


def test_what_a_cloud_event_claims_is_no_users_name() -> None:
    """It is a name of its own kind, and the broker's word goes before it."""
    assert read_origin({}, {}, US, "user alice").source == "event user alice"
    assert read_origin({}, {"user_id": "bob"}, US, "urn:shop").source == "user bob"


def test_a_long_source_is_known_by_its_digest() -> None:
    """As it is, no index holds it together with a key."""
    one, other = (read_origin({}, {}, US, "urn:" + "x" * 5_000 + end).source for end in "ab")
    assert one != other
    assert one.startswith("event sha256:")
    assert len(one) == len("event sha256:") + 64


@pytest.mark.parametrize(
    ("properties", "fields"),
    [
        ({}, {}),
        ({"priority": 5}, {"priority": 5}),
        ({"priority": 255}, {"priority": 100}),
        ({"priority": 0}, {}),
        ({"priority": True}, {}),
        ({"expiration": "1000"}, {"expiration": "1000"}),
    ],
)
def test_properties_are_fields(properties: dict[str, Any], fields: dict[str, Any]) -> None:
    """They are honoured or refused by name, whichever way the request comes."""
    assert with_properties({}, properties, is_task=True) == with_properties({}, properties, is_task=False) == fields


def test_a_request_says_more_than_its_message() -> None:
    """What both name is as the request says; a task's reply goes where Celery wants it, and there is none."""
    assert with_properties({"priority": 1}, {"priority": 5}, is_task=False) == {"priority": 1}
    assert with_properties({}, {"reply_to": "q"}, is_task=False) == {"reply_to": "q"}
    assert with_properties({}, {"reply_to": "q"}, is_task=True) == {}


def test_an_ask_has_no_priority() -> None:
    """It is answered at once; what its sender relies on is refused by name all the same."""
    said = {"priority": 5, "expiration": "1000", "reply_to": "q"}
    assert with_properties({}, said, is_task=False, is_ask=True) == {"expiration": "1000", "reply_to": "q"}
    assert with_properties({}, said, is_task=True, is_ask=True) == {"expiration": "1000"}


@pytest.mark.parametrize(
    ("source", "owner", "may"),
    [
        ("user alice", "user alice", True),
        ("user bob", "user alice", False),
        ("event alice", "user alice", False),
        ("", "user alice", False),
        ("user alice", "", False),
        ("", "", True),
        ("user alice", None, True),
        ("", None, True),
    ],
)
def test_a_job_is_its_senders_own(source: str, owner: str | None, *, may: bool) -> None:
    """As its key is: those who don't say who they are share theirs, one from before that was asked is anybody's."""
    assert is_own(source, owner) == may


@pytest.mark.parametrize("value", [None, "", 5, "a\0", "\ud800", "a" * 256, b"a"])
def test_what_is_no_name_is_not_stored(value: object) -> None:
    """It can't be shown, or not be stored."""
    assert not is_name(value)
    assert read_origin({}, {"correlation_id": value}, US).correlation_id is None
