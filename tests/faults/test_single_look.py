"""One request that is the last poll and the result in one: learnt per account, and given up where it does not work."""

from typing import Any

import pytest

from tests.support.in_process import app
from tests.support.shop import HOUR, MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.simulator import Simulator

__all__ = ["app", "running_simulator", "shop", "simulator"]

COUNT = 10
VARIED = {"kind": "lognormal", "mean_seconds": 30, "variation": 0.25}
OTHERS = ["404", "202", "empty"]


def account(shop: Shop) -> dict[str, Any]:
    """Return the account's row."""
    return shop.rows("SELECT single_look, single_look_at FROM accounts")[0]


def one_after_another(shop: Shop, count: int) -> list[str]:
    """Let jobs go through, each when the one before has ended."""
    shop.simulator.update(run_time=VARIED)
    ids = []
    for number in range(count):
        ids.append(shop.accept(f"job {number}"))
        shop.live(2 * MINUTE)
    return ids


def counted(shop: Shop, column: str) -> int:
    """Add up what was counted on the rows."""
    return int(shop.rows(f"SELECT sum({column}) AS total FROM jobs")[0]["total"])


def test_a_result_that_also_tells_the_status_is_all_that_is_asked(shop: Shop, simulator: Simulator) -> None:
    """It is tried where a run is likely over; once a run that goes on was seen there, no status is asked any more."""
    one_after_another(shop, COUNT)
    assert shop.states == {"succeeded": COUNT}
    assert account(shop)["single_look"] is True
    asked = shop.calls("status")
    one_after_another(shop, COUNT)
    assert (shop.states, shop.calls("status")) == ({"succeeded": 2 * COUNT}, asked)
    assert asked <= 2 * COUNT
    made = shop.calls("submit") + shop.calls("status") + shop.calls("result")
    assert counted(shop, "requests") == made
    assert counted(shop, "polls") <= made - 2 * COUNT


@pytest.mark.parametrize("answer", OTHERS)
def test_a_result_that_tells_nothing_meanwhile_is_left_for_a_day(shop: Shop, simulator: Simulator, answer: str) -> None:
    """The look that met it is repeated at the status, and counted; no job notices."""
    simulator.update(unfinished_result=answer)
    ids = one_after_another(shop, COUNT)
    assert shop.states == {"succeeded": COUNT}
    assert account(shop)["single_look"] is False
    unfinished = shop.calls("result") - len(ids)
    assert unfinished == 1
    one_after_another(shop, 3)
    assert shop.calls("result") - len(ids) - 3 == unfinished
    made = shop.calls("submit") + shop.calls("status") + shop.calls("result")
    assert counted(shop, "requests") == made
    assert {row["attempts"] for row in shop.rows("SELECT attempts FROM jobs")} == {0}
    assert {tuple(shop.events(each)) for each in ids} == {("accepted", "submitted", "succeeded")}


@pytest.mark.parametrize("answer", OTHERS)
def test_a_vendor_that_changes_is_met_with_the_same_guard(shop: Shop, simulator: Simulator, answer: str) -> None:
    """Looks went to the result for long: it ends no job that it stops telling of runs that go on."""
    one_after_another(shop, 5)
    assert account(shop)["single_look"] is True
    simulator.update(unfinished_result=answer, run_time=100, history_available=False)
    for number in range(COUNT):
        shop.accept(f"after {number}")
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 5 + COUNT}
    assert account(shop)["single_look"] is False


def test_after_a_day_it_is_tried_again(shop: Shop, simulator: Simulator) -> None:
    """What the vendor could not do then it may do now."""
    simulator.update(unfinished_result="404", run_time=100)
    shop.accept("before")
    shop.live(4 * MINUTE)
    assert account(shop)["single_look"] is False
    simulator.update(unfinished_result="status")
    shop.set(SAM3D_SWEEP_INTERVAL=HOUR)
    shop.live(25 * HOUR)
    shop.set(SAM3D_SWEEP_INTERVAL=RUN)
    shop.accept("after")
    shop.live(4 * MINUTE)
    assert (shop.states, account(shop)["single_look"]) == ({"succeeded": 2}, True)


def test_results_that_nobody_answers_stand_in_no_jobs_way(shop: Shop, simulator: Simulator) -> None:
    """Nothing comes for them while runs go on: after a look that failed the status is asked, and nothing is learnt."""
    one_after_another(shop, 5)
    simulator.update(run_time=100)
    simulator.add_fault(call="result", kind="reset", count=COUNT)
    for number in range(5):
        shop.accept(f"after {number}")
    shop.live(5 * MINUTE)
    assert (shop.states, account(shop)["single_look"]) == ({"succeeded": 10}, True)


def test_a_run_that_failed_is_told_there_too(shop: Shop, simulator: Simulator) -> None:
    """With its reason, by one request."""
    one_after_another(shop, 5)
    asked = shop.calls("status")
    simulator.add_fault(call="submit", kind="fail_job", message="no object found")
    job = shop.accept("failing")
    shop.live(2 * MINUTE)
    row = shop.job(job)
    assert (row["error_code"], shop.calls("status")) == ("remote_failed", asked)
    assert row["error_message"].endswith("no object found")


def test_another_requests_result_teaches_nothing(shop: Shop, simulator: Simulator) -> None:
    """Neither that runs go on there nor that they don't."""
    shop.accept("first")
    shop.live(RUN / 3)
    simulator.update(run_time=100)
    simulator.add_fault(call="result", kind="other_result")
    shop.accept("second")
    shop.live(2 * MINUTE)
    assert account(shop)["single_look"] is None
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 2}
