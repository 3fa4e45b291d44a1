"""Keys, credits and the request rate."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.simulator.account import Balance, RateWindow, key_problem, reset_value, window_ends_at

NOON = datetime(2026, 1, 2, 12, 0, 30, tzinfo=UTC)
GOOD = "SG_0123456789abcdef"


@pytest.mark.parametrize("key", [None, "", "sg_0123456789abcdef", "SG_0123", "SG_0123456789abcdeX", f"{GOOD}0"])
def test_malformed_keys_are_refused(key: str | None) -> None:
    """A key is SG_ and 16 hexadecimal characters."""
    assert key_problem(key, ()) is not None


def test_good_and_revoked_keys() -> None:
    """A key of the right form is good until it is revoked."""
    assert key_problem(GOOD, ()) is None
    assert key_problem(GOOD, (GOOD,)) is not None


def test_balance_covers_what_is_left() -> None:
    """The last credit can be spent, not one more."""
    balance = Balance(0.12)
    assert balance.take(0.06) == pytest.approx(0.06)
    assert balance.covers(0.06)
    balance.take(0.06)
    assert not balance.covers(0.06)


def test_window_is_fixed_to_the_minute() -> None:
    """The limit holds until the minute ends, then counts anew."""
    window = RateWindow()
    assert [window.admits(NOON, 2) for _ in range(3)] == [True, True, False]
    assert not window.admits(NOON + timedelta(seconds=29), 2)
    assert window.admits(NOON + timedelta(seconds=30), 2)
    assert window_ends_at(NOON) == NOON + timedelta(seconds=30)


def test_no_limit_admits_all() -> None:
    """Without a limit nothing is refused."""
    assert all(RateWindow().admits(NOON, None) for _ in range(100))


@pytest.mark.parametrize(
    ("form", "value"),
    [("iso", "2026-01-02T12:00:30Z"), ("epoch", "1767355230"), ("missing", None), ("nonsense", "soon")],
)
def test_forms_of_the_reset_header(form: str, value: str | None) -> None:
    """The header comes in several forms, since the vendor's is not documented."""
    assert reset_value(form, NOON) == value
