"""Fault rules strike the calls that they are about, as often as they say."""

from typing import Any

import pytest
from pydantic import ValidationError

from worker.simulator.faults import FaultBook, FaultRule


def book_with(**rule: Any) -> FaultBook:
    """Return a book with one rule."""
    book = FaultBook(seed=1)
    book.add(FaultRule.model_validate(rule))
    return book


def test_rule_strikes_its_call_only() -> None:
    """A rule for submits leaves polls alone."""
    book = book_with(call="submit", kind="status", http_status=500)
    assert book.pick("status", {}, None) is None
    assert book.pick("submit", {}, None) is not None


def test_rule_for_any_call_strikes_all() -> None:
    """`any` is every call."""
    book = book_with(call="any", kind="hang")
    assert all(book.pick(call, {}, None) for call in ("submit", "status", "download"))


def test_count_and_skip() -> None:
    """A rule lets `skip` calls pass, then strikes `count` times."""
    book = book_with(call="status", kind="hang", skip=2, count=3)
    assert [book.pick("status", {}, None) is not None for _ in range(7)] == [False] * 2 + [True] * 3 + [False] * 2
    assert book.listed()[0]["fired"] == 3


def test_rate_is_about_the_share_and_seeded() -> None:
    """A rate of 0.3 strikes about three in ten, the same ones each time."""
    strikes = [
        [book.pick("submit", {}, None) is not None for _ in range(2000)]
        for book in (
            book_with(call="submit", kind="hang", rate=0.3),
            book_with(call="submit", kind="hang", rate=0.3),
        )
    ]
    assert sum(strikes[0]) == pytest.approx(600, abs=70)
    assert strikes[0] == strikes[1]


@pytest.mark.parametrize(
    ("condition", "inputs", "request_id", "strikes"),
    [
        ({"prompt": "car"}, {"prompt": "a red car"}, None, True),
        ({"prompt": "car"}, {"prompt": "a cat"}, None, False),
        ({"prompt": "car"}, {}, None, False),
        ({"seed": 7}, {"seed": 7}, None, True),
        ({"seed": 7}, {"seed": 8}, None, False),
        ({"request_id": "r1"}, {}, "r1", True),
        ({"request_id": "r1"}, {}, "r2", False),
    ],
)
def test_rule_for_a_job(
    condition: dict[str, Any], inputs: dict[str, Any], request_id: str | None, *, strikes: bool
) -> None:
    """A rule can name the job by prompt, seed or request id."""
    book = book_with(call="status", kind="hang", **condition)
    assert (book.pick("status", inputs, request_id) is not None) is strikes


def test_the_first_rule_wins() -> None:
    """Rules are tried in the order they were added."""
    book = book_with(call="submit", kind="hang", count=1)
    book.add(FaultRule(call="submit", kind="empty"))
    picked = [book.pick("submit", {}, None) for _ in range(2)]
    assert [rule.kind for rule in picked if rule] == ["hang", "empty"]


def test_a_rule_can_be_dropped() -> None:
    """The others stay, and dropping it twice is no harm."""
    book = book_with(call="submit", kind="hang")
    kept = book.add(FaultRule(call="submit", kind="empty"))
    for _ in range(2):
        book.drop(1)
    assert [entry["id"] for entry in book.listed()] == [kept]


def test_early_rules_are_asked_for_apart() -> None:
    """A reset before the body is read can't look at the job, and is not picked twice."""
    book = book_with(call="submit", kind="reset")
    assert book.pick("submit", {}, None) is None
    assert book.pick("submit", {}, None, early=True) is not None


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"call": "submit", "kind": "status"}, "needs http_status"),
        ({"call": "result", "kind": "output_url"}, "needs url"),
        ({"call": "status", "kind": "fail_job"}, "possible on blocking, submit, not on status"),
        ({"call": "submit", "kind": "drop_answer", "starts_run": False}, "contradiction"),
        ({"call": "status", "kind": "hang", "starts_run": True}, "starts_run is possible on"),
        ({"call": "nowhere", "kind": "hang"}, "call"),
        ({"call": "submit", "kind": "hang", "rate": 2}, "rate"),
        ({"call": "submit", "kind": "hang", "often": 2}, "often"),
    ],
)
def test_senseless_rules_are_refused(rule: dict[str, Any], said: str) -> None:
    """The refusal names what is wrong."""
    with pytest.raises(ValidationError, match=said):
        FaultRule.model_validate(rule)


@pytest.mark.parametrize(
    ("rule", "starts"),
    [
        ({"kind": "status", "http_status": 500}, False),
        ({"kind": "status", "http_status": 500, "starts_run": True}, True),
        ({"kind": "reset"}, False),
        ({"kind": "drop_answer"}, True),
        ({"kind": "missing_id"}, True),
        ({"kind": "redirect", "url": "/"}, False),
    ],
)
def test_whether_a_spoilt_submit_starts_a_run(rule: dict[str, Any], *, starts: bool) -> None:
    """The default is what the fault most likely means; the rule can say otherwise."""
    assert FaultRule.model_validate({"call": "submit", **rule}).lets_run_start is starts
