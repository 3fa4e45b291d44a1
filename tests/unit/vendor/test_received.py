"""Dates and times that an answer was received with: those that can be reckoned with, or none."""

import pytest

from worker.vendor.received import read_credits, read_date, read_reset, without_key


@pytest.mark.parametrize(
    "text", ["Fri, 31 Dec 9999 23:59:59 -1200", "Mon, 01 Jan 1900 00:00:00 +1200", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_a_date_at_the_ends_of_all_is_none(text: str) -> None:
    """The same of a header."""
    assert read_date(text) is None


@pytest.mark.parametrize("text", ["253402300799", "1" * 30, "1" * 400, "1" * 5000, "0", "0.5", "1e400", "nan", "inf"])
def test_seconds_that_are_no_time_are_none(text: str) -> None:
    """Of the epoch, or of years that no calendar has."""
    assert read_reset(text) is None


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("4.25", 4.25),
        ("0", 0),
        ("-1", None),
        ("1e9", None),
        ("nan", None),
        ("٣", None),
        ("9" * 5000, None),
        (None, None),
    ],
)
def test_credits_are_a_number_or_none(text: str | None, left: float | None) -> None:
    """Whatever the header holds."""
    assert read_credits(text) == left


@pytest.mark.parametrize(
    ("key", "body", "read"),
    [
        ("SG_0123456789abcdef", b'{"of": "SG_0123456789abcdef"}', b'{"of": "SG_"}'),
        ("another form of key", b"[another form of key]" * 2, b"[SG_]" * 2),
        ("SG_0123456789abcdef", b"nothing of it", b"nothing of it"),
        ("short", b"a short word", b"a short word"),
        ("", b"no key", b"no key"),
    ],
)
def test_no_answer_quotes_the_key(key: str, body: bytes, read: bytes) -> None:
    """Whatever a key looks like; what is set in its place by mistake is in many a text."""
    assert without_key(body, key) == read
