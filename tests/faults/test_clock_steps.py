"""The database's clock steps back: what it had put off is brought back with it, and nothing stands still."""

from datetime import timedelta

import pytest

from tests.support.in_process import app
from tests.support.shop import HOUR, MINUTE, Shop, running_simulator, shop, simulator
from worker.simulator import Simulator

__all__ = ["app", "running_simulator", "shop", "simulator"]

TEN_MINUTES = timedelta(minutes=10)


@pytest.mark.parametrize("by", [TEN_MINUTES, HOUR])
def test_a_clock_that_steps_back_stops_nothing(shop: Shop, by: timedelta) -> None:
    """Jobs in every state go on within about a sweep, and what comes after as well."""
    ids = [shop.accept(f"before {number}") for number in range(4)]
    shop.live(timedelta(seconds=20))
    shop.step(-by)
    ids += [shop.accept(f"after {number}") for number in range(2)]
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    shop.check_bill()


@pytest.mark.parametrize("back", [True, False], ids=["for a minute", "for good"])
def test_a_clock_that_steps_ahead_proves_nothing_absent(shop: Shop, simulator: Simulator, *, back: bool) -> None:
    """Runs that are listed minutes late are not paid again for an hour that never passed, nor is a person asked."""
    simulator.update(history_delay_spread_seconds=250)
    simulator.add_fault(call="submit", kind="drop_answer", prompt="lost")
    ids = [shop.accept(f"{what} {number}") for number in range(6) for what in ("lost", "later")]
    shop.live(timedelta(seconds=20))
    shop.step(HOUR)
    shop.live(MINUTE)
    assert shop.states["submitting"]
    assert shop.states["review"] == 0
    if back:
        shop.step(-HOUR)
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    shop.check_bill()


def test_a_step_ahead_is_forgotten(shop: Shop, simulator: Simulator) -> None:
    """What is in doubt is settled in the end, by the clock as it is."""
    shop.live(MINUTE)
    shop.step(HOUR)
    simulator.add_fault(call="submit", kind="reset", starts_run=False, prompt="lost", count=1)
    shop.accept("lost")
    shop.live(timedelta(seconds=5))
    shop.accept("later")
    shop.skip(31 * MINUTE)
    shop.live(2 * MINUTE)
    assert shop.states == {"succeeded": 2}
    shop.check_bill()


def test_what_was_put_off_by_a_clock_that_was_ahead_is_brought_back(shop: Shop) -> None:
    """It was an hour ahead for some seconds, in which jobs came and were submitted."""
    shop.live(MINUTE)
    shop.step(HOUR)
    ids = [shop.accept(f"ahead {number}") for number in range(4)]
    shop.live(timedelta(seconds=20))
    shop.step(-HOUR)
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    ahead = (
        "SELECT count(*) FROM jobs WHERE greatest(accepted_at, submitted_at, due_at) > sam3d_now() + interval '1 min'"
    )
    assert shop.rows(ahead) == [{"count": 0}]


def test_runs_that_ended_by_a_clock_that_was_ahead_leave_room_for_others(shop: Shop) -> None:
    """Under a request limit as many submits go together as their polls can be afforded; they look as if just sent."""
    shop.set(SAM3D_REQUESTS_PER_MINUTE=20)
    shop.step(HOUR)
    for number in range(16):
        shop.accept(f"ahead {number}")
    shop.live(8 * MINUTE)
    assert shop.states == {"succeeded": 16}
    shop.step(-HOUR)
    shop.accept("now")
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": 17}


def test_a_scheduler_that_starts_after_the_step_finds_what_is_put_off_for_too_long(shop: Shop) -> None:
    """Nothing waits longer than the longest wait there is; a slot of the request budget may."""
    job_id = shop.accept("far")
    shop.live(timedelta(seconds=5))
    shop.rows("UPDATE jobs SET due_at = due_at + interval '1 day', sweep_at = sweep_at + interval '1 day' RETURNING id")
    shop.live(3 * MINUTE)
    assert shop.job(job_id)["state"] == "succeeded"


def test_a_closed_window_and_a_held_account_are_brought_back(shop: Shop) -> None:
    """Until when a limit is used up, and when the account was last tried, are times of the same clock."""
    shop.live(MINUTE)
    shop.rows(
        "UPDATE accounts SET closed_until = sam3d_now() + interval '30 s', next_slot_at = sam3d_now(), "
        "probed_at = sam3d_now() RETURNING name"
    )
    shop.step(-HOUR)
    shop.live(MINUTE)
    late = (
        "SELECT greatest(closed_until, next_slot_at, probed_at) > sam3d_now() + interval '1 min' AS late FROM accounts"
    )
    assert shop.rows(late) == [{"late": False}]
