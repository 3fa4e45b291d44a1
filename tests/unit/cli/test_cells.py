"""What a page says of a job is short, whatever was written."""

from datetime import UTC, datetime, timedelta, timezone
from html import unescape
from typing import Any

import pytest

from worker.cli.cells import LONGEST_TEXT, MOST_VALUES, text, time


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        ["x"] * 10**6,
        {"x" * 10**6: "x" * 10**6},
        dict.fromkeys(map(str, range(10**5))),
        {"a": ["&"] * 10**6},
    ],
    ids=["text", "list", "long", "wide", "nested"],
)
def test_of_what_is_long_the_beginning_is_shown(value: Any) -> None:
    """And that there is more."""
    shown = unescape(text(value))
    assert len(shown) <= LONGEST_TEXT + 1
    assert "…" in shown


def test_what_is_short_is_shown_whole() -> None:
    """As people read it."""
    assert text({"order": 17, "shop": {"name": "a & b"}}) == "order 17, shop name a &amp; b"
    assert "…" not in text(dict.fromkeys(map(str, range(MOST_VALUES)), 1))


def test_times_are_of_one_zone() -> None:
    """The page says which."""
    at = datetime(2026, 11, 29, 23, 45, 10, tzinfo=timezone(timedelta(hours=2)))
    assert time(at) == f'<time datetime="{at.astimezone(UTC).isoformat()}">2026-11-29 21:45</time>'
