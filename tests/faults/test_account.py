"""Whose trouble it is: submits that fail for all, one job or one run that is refused, and two holds at once."""

from typing import Any

import pytest

from tests.support.in_process import app
from tests.support.shop import HOUR, KEY, MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.database import reading
from worker.database.engine import transaction
from worker.errors import HoldCause
from worker.rules.outcome import Hold
from worker.simulator import Simulator
from worker.work import holding

__all__ = ["app", "running_simulator", "shop", "simulator"]

OUTAGES: list[dict[str, Any]] = [
    {"kind": "status", "http_status": 502},
    {"kind": "status", "http_status": 500},
    {"kind": "reset"},
    {"kind": "html"},
]
HISTORIES: list[dict[str, Any]] = [{"SAM3D_HISTORY": "off"}, {}]


def without_history(shop: Shop, simulator: Simulator, history: str) -> None:
    """Turn the history off, or let its host answer 404."""
    simulator.update(history_available=False)
    shop.set(SAM3D_HISTORY="off" if history == "off" else "auto", SAM3D_SUBMIT_SERVER_ERROR="review")


# Row 25: submits fail for all.


@pytest.mark.parametrize(
    ("rule", "history"),
    [*zip(OUTAGES, ("off", "missing") * 2, strict=True), (OUTAGES[0], "missing")],
    ids=lambda each: " ".join(map(str, each.values())) if isinstance(each, dict) else each,
)
def test_an_outage_holds_the_account(shop: Shop, simulator: Simulator, rule: dict[str, Any], history: str) -> None:
    """A dozen submits at most, then one an interval; when it is over all succeed but those that were in doubt."""
    without_history(shop, simulator, history)
    simulator.add_fault(call="submit", starts_run=False, **rule)
    ids = [shop.accept(f"job {number}.") for number in range(30)]
    shop.live(MINUTE / 2)
    assert (shop.events(), shop.calls("submit")) == (["held"], 4)
    shop.live(20 * MINUTE)
    assert shop.calls("submit") <= 4 + 21
    posted = {str(row["job_id"]) for row in shop.rows("SELECT job_id FROM submissions")}
    simulator.clear_faults()
    shop.live(8 * MINUTE)  # What is in doubt is a person's once no history has answered for five.
    assert {each for each in ids if shop.job(each)["state"] == "review"} == posted
    assert shop.states == {"succeeded": len(ids) - len(posted), "review": len(posted)}
    assert shop.events() == ["held", "resumed"]
    shop.check_bill()


def test_a_vendor_that_is_down_gets_no_job(shop: Shop, simulator: Simulator) -> None:
    """The free look at the credits is not answered either: no probe puts another job in doubt."""
    without_history(shop, simulator, "off")
    simulator.add_fault(call="any", kind="status", http_status=502)
    ids = [shop.accept(f"job {number}.") for number in range(20)]
    shop.set(SAM3D_SWEEP_INTERVAL=MINUTE)
    shop.live(HOUR * 2)
    assert (shop.calls("submit"), shop.states) == (4, {"review": 4, "accepted": 16})
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert shop.states == {"review": 4, "succeeded": len(ids) - 4}


def test_credits_that_are_never_told_keep_no_account_held(shop: Shop, simulator: Simulator) -> None:
    """Where only they can't be read, a look at a run tells that the vendor answers."""
    without_history(shop, simulator, "off")
    simulator.add_fault(call="credits", kind="status", http_status=502)
    simulator.add_fault(call="submit", kind="status", http_status=502, count=4)
    for number in range(10):
        shop.accept(f"job {number}.")
    shop.live(5 * MINUTE)
    assert shop.states == {"review": 4, "succeeded": 6}


def test_doubts_of_an_outage_are_settled_after_it(shop: Shop, simulator: Simulator) -> None:
    """With a history nobody is asked: once a submit is listed that came later, they are known to be absent."""
    simulator.add_fault(call="submit", kind="reset")
    ids = [shop.accept(f"job {number}.") for number in range(12)]
    shop.live(6 * MINUTE)
    assert shop.events() == ["held"]
    assert shop.states["review"] == 0
    simulator.clear_faults()
    shop.live(8 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    shop.check_bill()


def test_a_few_answers_that_do_not_tell_hold_nothing(shop: Shop, simulator: Simulator) -> None:
    """Three in a row, an accepted one, three again."""
    for skip in (0, 4):
        simulator.add_fault(call="submit", kind="drop_answer", skip=skip, count=3)
    for number in range(8):
        shop.accept(f"job {number}.")
    shop.live(5 * MINUTE)
    assert (shop.states, shop.events()) == ({"succeeded": 8}, [])
    shop.check_bill()


# Row 29: one job of many is refused.

REFUSALS = [401, 403, 404, 405, 406, 410, 402]


@pytest.mark.parametrize("status", REFUSALS)
def test_a_job_that_alone_is_refused_fails_alone(shop: Shop, simulator: Simulator, status: int) -> None:
    """The others never wait for it, and its sender reads why."""
    simulator.add_fault(call="submit", kind="status", http_status=status, prompt="poison.", message="No such cup.")
    ids = [shop.accept(f"job {number}.") for number in range(5)]
    poisonous = shop.accept("poison.")
    ids += [shop.accept(f"job {number}.") for number in range(5, 10)]
    shop.live(3 * MINUTE)
    assert {shop.job(each)["state"] for each in ids} == {"succeeded"}
    row = shop.job(poisonous)
    assert (row["state"], row["error_code"]) == ("failed", "remote_refused")
    assert "The vendor says: " in row["error_message"]
    assert "No such cup." in row["error_message"]
    assert shop.events() == []
    statuses = {each["http_status"] for each in shop.rows("SELECT http_status FROM submissions")}
    assert statuses == {200, status}
    shop.check_bill()


def test_a_refused_job_that_is_alone_holds_the_account_until_another_gets_through(
    shop: Shop, simulator: Simulator
) -> None:
    """Nothing tells whether it or the account is refused: it is tried once a minute, and fails once others pass."""
    simulator.add_fault(call="submit", kind="status", http_status=403, prompt="poison.")
    poisonous = shop.accept("poison.")
    shop.live(30 * MINUTE)
    assert (shop.events(), shop.job(poisonous)["state"]) == (["held"], "accepted")
    assert shop.calls("submit") <= 33
    good = shop.accept("job.")
    shop.live(5 * MINUTE)
    assert [shop.job(each)["state"] for each in (good, poisonous)] == ["succeeded", "failed"]
    assert (shop.events()[:2], shop.job(poisonous)["error_code"]) == (["held", "resumed"], "remote_refused")


def test_jobs_that_are_refused_let_others_go_first(shop: Shop, simulator: Simulator) -> None:
    """They hold the account only while nothing else is there to try it with; then they fail."""
    simulator.add_fault(call="submit", kind="status", http_status=403, prompt="poison.")
    poisonous = [shop.accept(f"poison. {number}") for number in range(2)]
    shop.live(10 * MINUTE)
    assert shop.events() == ["held"]
    assert {shop.job(each)["state"] for each in poisonous} == {"accepted"}
    assert shop.calls("submit") <= 14
    good = [shop.accept(f"job {number}.") for number in range(4)]
    shop.live(5 * MINUTE)
    assert {shop.job(each)["state"] for each in good} == {"succeeded"}
    assert {shop.job(each)["error_code"] for each in poisonous} == {"remote_refused"}
    assert shop.events()[:2] == ["held", "resumed"]


def test_several_jobs_that_are_refused_fail_alone(shop: Shop, simulator: Simulator) -> None:
    """Two in a row stop the account until the first good one; each fails in the end, and all others succeed."""
    for status in REFUSALS:
        simulator.add_fault(call="submit", kind="status", http_status=status, prompt=f"poison {status}.", message="No.")
    poisonous = [shop.accept(f"poison {status}.") for status in REFUSALS]
    good = [shop.accept(f"job {number}.") for number in range(10)]
    shop.live(HOUR / 2)
    assert {shop.job(each)["state"] for each in good} == {"succeeded"}
    assert {shop.job(each)["error_code"] for each in poisonous} == {"remote_refused"}
    assert shop.events()[-1:] != ["held"]
    shop.check_bill()


def test_a_sentence_that_quotes_a_job_stops_nobody(shop: Shop, simulator: Simulator) -> None:
    """A prompt has the vendor's own words in it; nobody reads the prompt in a row or an event."""
    prompt = "insufficient credits and a quota of cups"
    for status in (402, 406):
        simulator.add_fault(
            call="submit", kind="status", http_status=status, prompt=f"{prompt} {status}", message=f"rejected: {prompt}"
        )
    bad = []
    for status in (402, 406):
        bad.append(shop.accept(f"{prompt} {status}"))
        for number in range(5):
            shop.accept(f"job {number}.")
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 10, "failed": 2}
    assert all("quota" not in shop.job(each)["error_message"] for each in bad)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_refusals_that_come_and_go_fail_no_job(shop: Shop, simulator: Simulator, rate: float) -> None:
    """A gateway refuses some at random: all get through, and none is taken for the trouble itself."""
    simulator.add_fault(call="submit", kind="status", http_status=403, rate=rate)
    for number in range(30):
        shop.accept(f"job {number}.")
    shop.live(HOUR)
    assert shop.states == {"succeeded": 30}
    shop.check_bill()


# Row 29 too: the reads of one run are refused.


def hide(simulator: Simulator, *calls: str, status: int = 403) -> None:
    """Refuse reads of the runs whose prompt says that they are hidden: of a status, of a result, or of both."""
    for call in calls or ("status", "result"):
        simulator.add_fault(call=call, kind="status", http_status=status, prompt="hidden.")


@pytest.mark.parametrize("calls", [["result"], ["status", "result"]])
@pytest.mark.parametrize("status", [401, 403, 406])
def test_reads_of_one_run_that_are_refused_stop_nobody(
    shop: Shop, simulator: Simulator, calls: list[str], status: int
) -> None:
    """It is read again patiently while the others are; once it is shown it succeeds."""
    hide(simulator, *calls, status=status)
    hidden = shop.accept("hidden.")
    for number in range(10):
        shop.accept(f"job {number}.")
    shop.live(10 * MINUTE)
    assert (shop.states["succeeded"], shop.events()) == (10, [])
    assert shop.job(hidden)["state"] in {"processing", "fetching"}
    assert "refuses to show" in shop.job(hidden)["waits_for"]
    simulator.clear_faults()
    shop.live(2 * MINUTE)
    assert shop.states == {"succeeded": 11}


@pytest.mark.parametrize("status", [401, 403, 406])
def test_a_status_that_is_refused_costs_nothing_where_the_result_tells_as_much(
    shop: Shop, simulator: Simulator, status: int
) -> None:
    """The run is seen to end like any other, and nobody is held for it."""
    hide(simulator, "status", status=status)
    for prompt in ("hidden.", "shown."):
        shop.accept(prompt)
    shop.live(10 * MINUTE)
    assert (shop.states, shop.events()) == ({"succeeded": 2}, [])


def test_a_run_that_is_never_shown_is_for_a_person(shop: Shop, simulator: Simulator) -> None:
    """It was paid, so it does not fail: after its hour, if others were shown meanwhile."""
    hide(simulator)
    shop.set(SAM3D_PROBE_INTERVAL=5 * MINUTE, SAM3D_SWEEP_INTERVAL=5 * MINUTE)
    hidden = shop.accept("hidden.")
    shop.live(HOUR / 2)
    assert (shop.job(hidden)["state"], shop.events()) == ("processing", [])
    shop.accept("shown.")
    shop.live(HOUR)
    assert (shop.job(hidden)["state"], shop.job(hidden)["error_code"]) == ("review", "read_refused")
    assert (shop.states, shop.events()) == ({"review": 1, "succeeded": 1}, [])


def test_two_runs_that_are_never_shown_stop_the_account_for_a_while(shop: Shop, simulator: Simulator) -> None:
    """Alone they look like a revoked key; the first job that gets through shows that they are not."""
    hide(simulator)
    for number in range(2):
        shop.accept(f"hidden. {number}")
    shop.live(5 * MINUTE)
    assert shop.events() == ["held"]
    good = [shop.accept(f"job {number}.") for number in range(5)]
    shop.live(10 * MINUTE)
    assert {shop.job(each)["state"] for each in good} == {"succeeded"}


# Row 33: two holds on one account.


def pause(shop: Shop) -> None:
    """Hold the account as `sam3d hold` does."""
    with transaction(shop.services.engine) as connection:
        holding.hold(connection, "default", Hold(HoldCause.OPERATOR, "Wait."), stops_reads=False)


def held_for(shop: Shop) -> list[str]:
    """Return what the account is held for."""
    with transaction(shop.services.engine) as connection:
        return [str(each["held_cause"]) for each in reading.held_accounts(connection)]


def shown(shop: Shop, job_id: str) -> str:
    """Return what a job waits for, as it is shown."""
    with transaction(shop.services.engine) as connection:
        row = reading.job_row(connection, job_id)
        assert row
        (listed,) = [each for each in reading.newest_jobs(connection, None, 100) if str(each["id"]) == job_id]
    assert row["waits_for"] == listed["waits_for"]
    return str(row["waits_for"])


def test_a_persons_hold_over_one_for_the_key(shop: Shop, simulator: Simulator) -> None:
    """Polls go on by themselves once the key is well again, submits with the person's word."""
    for number in range(3):
        shop.accept(f"job {number}.")
    shop.live(RUN / 3)
    simulator.update(revoked_keys=[KEY])
    shop.live(MINUTE)
    pause(shop)
    waiting = shop.accept("waiting.")
    assert held_for(shop) == ["key", "operator"]
    assert shown(shop, waiting).startswith("the account is held (key, operator), since ")
    simulator.update(revoked_keys=[])
    shop.live(3 * MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 3, "accepted": 1}, ["operator"])
    assert shown(shop, waiting).startswith("the account is held (operator), since ")
    assert shop.calls("submit") == 3
    with transaction(shop.services.engine) as connection:
        holding.lift(connection, "default")
    shop.live(3 * MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 4}, [])
    assert shop.events() == ["held", "held", "resumed", "resumed"]


def test_what_was_accepted_by_a_clock_that_was_ahead_tells_nothing(shop: Shop, simulator: Simulator) -> None:
    """It looks as if it came after each refusal, for an hour; the account is refused all the same, and no job alone."""
    shop.step(HOUR)
    shop.accept("ahead.")
    shop.live(3 * MINUTE)
    shop.step(-HOUR)
    simulator.update(revoked_keys=[KEY])
    for number in range(4):
        shop.accept(f"job {number}.")
    shop.live(MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 1, "accepted": 4}, ["key"])
    # Nor does it an hour later.
    assert shop.rows("SELECT token FROM submissions WHERE answered_at > sam3d_now()") == []
    simulator.update(revoked_keys=[])
    shop.live(5 * MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 5}, [])


def test_what_was_read_by_a_clock_that_was_ahead_tells_nothing(shop: Shop, simulator: Simulator) -> None:
    """It looks as if it were read after each refusal; reads of two runs are refused, so it is the account's key."""
    shop.step(HOUR)
    shop.accept("ahead.")
    shop.live(3 * MINUTE)
    shop.step(-HOUR)
    for number in range(2):
        shop.accept(f"job {number}.")
    shop.live(RUN / 3)
    simulator.update(revoked_keys=[KEY])
    shop.live(MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 1, "processing": 2}, ["key"])
    simulator.update(revoked_keys=[])
    shop.live(5 * MINUTE)
    assert (shop.states, held_for(shop)) == ({"succeeded": 3}, [])


def test_runs_go_on_under_a_persons_hold(shop: Shop, simulator: Simulator) -> None:
    """Also where the vendor refuses submits at the same time."""
    shop.accept("running.")
    shop.live(RUN / 3)
    simulator.update(credits=0)
    shop.accept("waiting.")
    shop.live(RUN / 10)
    pause(shop)
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": 1, "accepted": 1}
    assert shop.calls("submit") == 2
