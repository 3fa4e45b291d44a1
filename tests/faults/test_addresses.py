"""Photos that are sent as addresses: a run is known by the one that its submit sent, whatever else is equal or lost."""

import httpx
import pytest

from tests.support.addressed import app, bucket, s3
from tests.support.deployment import KEY
from tests.support.restored import Restored, deployed
from tests.support.shop import MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.rules.presigned import mark_of_address
from worker.simulator import Simulator

__all__ = ["app", "bucket", "deployed", "running_simulator", "s3", "shop", "simulator"]

FORMS = ["as_sent", "stripped", "url", "rehosted", "digest", "dropped"]
"""How rows show an address: whole, without its query, as an address of theirs, or not at all."""


def lose(simulator: Simulator, prompt: str, *, has_run: bool = True) -> None:
    """Let the next submit with this prompt get no answer, whether it started a run or not."""
    how = {"kind": "drop_answer"} if has_run else {"kind": "reset", "starts_run": False}
    simulator.add_fault(call="submit", prompt=prompt, count=1, **how)


def named(simulator: Simulator) -> dict[str, str]:
    """Return which run was started by which address, by its mark."""
    url = f"{simulator.url}/inference-request/request-history?per_page=100"
    rows = httpx.get(url, headers={"x-api-key": KEY}).json()["data"]
    return {mark_of_address(row["request_body"]["image"]): row["request_id"] for row in rows}


def had(shop: Shop) -> dict[str, str]:
    """Return which run the job of each submit has, by the mark of the address that names it."""
    query = "SELECT address, jobs.request_id FROM submissions JOIN jobs ON jobs.id = job_id WHERE verdict <> 'absent'"
    return {row["address"]: row["request_id"] for row in shop.rows(query)}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_history_tells(shop: Shop, simulator: Simulator, form: str) -> None:
    """What was started is adopted, what was not is sent again under another address; nobody is asked."""
    simulator.update(history_images=form)
    ids = []
    for number, has_run in enumerate((True, False)):
        lose(simulator, f"lost {number}", has_run=has_run)
        ids.append(shop.accept(f"lost {number}"))
    shop.live(RUN / 6)
    ids += [shop.accept(f"answered {number}") for number in range(3)]
    shop.live(9 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    assert [shop.verdicts(each) for each in ids[:2]] == [["adopted"], ["absent", "accepted"]]
    shop.check_bill()
    assert len(shop.rows("SELECT DISTINCT address FROM submissions")) == len(ids) + 1


@pytest.mark.parametrize("form", ["as_sent", "stripped", "dropped"])
def test_equal_jobs_in_flight_are_told_apart(shop: Shop, simulator: Simulator, form: str) -> None:
    """Of three jobs of the same photo and prompt two get no answer, and the row of the first lands last.

    Where rows show addresses, each job has the run that was started for it; where not, all have one all the same.
    """
    shop.accept("before")
    shop.live(MINUTE)
    simulator.update(history_images=form, history_delay_spread_seconds=150)
    ids = []
    for number in range(3):
        if number < 2:
            lose(simulator, "same")
        ids.append(shop.accept("same"))
        shop.live(RUN / 30)
    shop.live(15 * MINUTE)
    assert shop.states == {"succeeded": 4}
    assert [shop.verdicts(each) for each in ids] == [["adopted"], ["adopted"], ["accepted"]]
    shop.check_bill()
    if form == "as_sent":
        assert had(shop) == named(simulator)


def test_a_run_of_an_equal_job_is_not_taken_for_one_that_was_not_started(shop: Shop, simulator: Simulator) -> None:
    """The first of two equal submits started nothing, the second did, and neither is answered: that one has its run."""
    lose(simulator, "same", has_run=False)
    ids = [shop.accept("same")]
    lose(simulator, "same")
    shop.live(RUN / 30)
    ids.append(shop.accept("same"))
    shop.live(RUN / 30)
    shop.accept("later")
    shop.live(15 * MINUTE)
    assert [shop.verdicts(each) for each in ids] == [["absent", "accepted"], ["adopted"]]
    assert had(shop) == named(simulator)
    assert shop.paid("same") == 2


@pytest.mark.parametrize("are_restarted", [False, True], ids=["live-on", "restarted"])
@pytest.mark.parametrize("form", ["as_sent", "stripped"])
def test_runs_that_a_database_lost_are_known_by_their_photo(
    deployed: Restored, simulator: Simulator, form: str, *, are_restarted: bool
) -> None:
    """Nobody knows their addresses any more: they go to the jobs of that photo, and to who sends the same again."""
    shop = deployed.shop
    simulator.update(history_images=form)
    shop.accept("ended")
    shop.live(3 * MINUTE)
    shop.accept("waiting")
    deployed.back_up()
    shop.accept("lost")
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 3}
    deployed.set_back()
    if are_restarted:
        deployed.renew()
    shop = deployed.shop
    shop.live(10 * MINUTE)
    again = shop.accept("lost")
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 3}
    assert shop.verdicts(again) == ["adopted"]
    assert [shop.paid(prompt) for prompt in ("ended", "waiting", "lost")] == [1, 1, 1]


def test_a_run_from_a_store_that_was_elsewhere_is_for_a_person(
    deployed: Restored,
) -> None:
    """The database was put back, and its photos are at another address now: what may be its run is not paid again."""
    shop = deployed.shop
    shop.accept("ended")
    shop.live(3 * MINUTE)
    waiting = shop.accept("waiting")
    deployed.back_up()
    shop.live(5 * MINUTE)
    deployed.set_back()
    shop.rows("UPDATE inputs SET place = 'place:elsewhere/' || split_part(place, '/', 2) RETURNING 1")
    deployed.renew()
    deployed.shop.live(10 * MINUTE)
    assert deployed.shop.job(waiting)["state"] == "review"
    assert deployed.shop.paid("waiting") == 1
