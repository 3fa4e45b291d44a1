"""A request history that is late, incomplete, of another form or shared: no job is paid twice, few need a person."""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.in_process import PHOTO, app
from tests.support.shop import MINUTE, RUN, Shop, app_inputs, running_simulator, shop, simulator
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, Step, Ticket, Trigger
from worker.rules.outcome import Advance, Learnt
from worker.simulator import Simulator
from worker.work.cancelling import cancel
from worker.work.executor import record
from worker.work.taking import load

__all__ = ["app", "running_simulator", "shop", "simulator"]

HOUR = 60 * MINUTE
LOST: list[dict[str, Any]] = [{"kind": "drop_answer"}, {"kind": "reset", "starts_run": False}]
"""A submit that started a run and one that did not; neither is answered."""


def doubted(shop: Shop, simulator: Simulator, prompt: str, **rule: Any) -> str:
    """Accept a job whose submit gets no answer, and return its id."""
    simulator.add_fault(call="submit", prompt=prompt, count=1, **rule)
    return shop.accept(prompt)


def stray(shop: Shop, simulator: Simulator, job: str, **fields: Any) -> None:
    """Let the history list a run of a job's inputs that nobody made."""
    row = {"request_id": str(uuid4()), "request_body": app_inputs(shop, job), "user_id": None, **fields}
    httpx.post(f"{simulator.url}/_simulator/history", json=row).raise_for_status()


# The history in another form. Its form is learnt from a submit that was answered.

FORMS: list[dict[str, Any]] = [
    {"history_utc_offset_minutes": 330, "history_zone": False},
    {"history_utc_offset_minutes": -480, "history_zone": False},
    {"history_utc_offset_minutes": 330},
    {"history_images": "dropped"},
    {"history_images": "url"},
    {"history_dashless": True},
    {"request_ids": "hex"},
    {"history_images": "dropped", "history_dashless": True, "history_utc_offset_minutes": 60, "history_zone": False},
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: " ".join(map(str, form.values())))
def test_every_form_of_the_history_tells(shop: Shop, simulator: Simulator, form: dict[str, Any]) -> None:
    """What was started is adopted, what was not is sent again: one run each, and nobody is asked."""
    simulator.update(**form)
    ids = [doubted(shop, simulator, f"lost {rule['kind']}", **rule) for rule in LOST]
    shop.live(timedelta(seconds=5))
    ids.append(shop.accept("answered"))
    shop.live(9 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    assert [shop.verdicts(each) for each in ids] == [["adopted"], ["absent", "accepted"], ["accepted"]]
    shop.check_bill()


def test_what_rows_do_not_tell_apart_is_for_a_person(shop: Shop, simulator: Simulator) -> None:
    """Two photos of one prompt, of which rows show the prompt alone: neither gets the other's model.

    Their rows are given half an hour to show the photo.
    """
    simulator.update(history_images="dropped")
    shop.accept("answered")
    simulator.add_fault(call="submit", kind="drop_answer", prompt="same", count=2)
    ids = [shop.accept("same"), shop.accept("same", mask=PHOTO)]
    shop.live(25 * MINUTE)
    assert "review" not in shop.states
    shop.live(10 * MINUTE)
    assert [shop.job(each)["state"] for each in ids] == ["review", "review"]
    assert shop.paid("same") == len(ids)


# A run of the same inputs at any time.


@pytest.mark.parametrize("minutes", [-330, 330, 3, -3, 24 * 60 - 1])
def test_a_run_of_the_same_inputs_at_any_time_speaks_against_a_repeat(
    shop: Shop, simulator: Simulator, minutes: int
) -> None:
    """Whether it is in local time or by another clock, nobody pays for a second one."""
    job = doubted(shop, simulator, "same", kind="reset", starts_run=False)
    shop.live(timedelta(seconds=2))
    stray(shop, simulator, job, model_created=(shop.now + minutes * timedelta(minutes=1)).isoformat())
    shop.accept("later")
    shop.live(20 * MINUTE)
    assert (shop.job(job)["state"], shop.paid("same")) == ("review", 0)


@pytest.mark.parametrize("zone", [True, False])
def test_rows_in_local_time_are_adopted(shop: Shop, simulator: Simulator, *, zone: bool) -> None:
    """Ten answers are lost where the history is five and a half hours ahead: ten runs are paid, not twenty."""
    simulator.update(history_utc_offset_minutes=330, history_zone=zone)
    ids = [doubted(shop, simulator, f"job {number}", kind="drop_answer") for number in range(10)]
    shop.live(timedelta(seconds=2))
    shop.accept("later")  # So many in a row hold the account: each of the others is its probe.
    shop.live(20 * MINUTE)
    assert shop.states == {"succeeded": len(ids) + 1}
    shop.check_bill()


# Rows that land late.


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_land_late_are_waited_for(shop: Shop, simulator: Simulator, seed: int) -> None:
    """Up to two and a half minutes, at random: nothing is absent because a later submit was listed before it."""
    chance = random.Random(seed)
    simulator.update(history_delay_spread_seconds=150)
    ids = []
    for number in range(17):
        prompt = f"{seed} job {number}"
        ids.append(
            doubted(shop, simulator, prompt, kind="drop_answer") if chance.random() < 0.4 else shop.accept(prompt)
        )
        shop.live(timedelta(seconds=7))
    shop.live(20 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    shop.check_bill()


def test_how_late_rows_land_is_learnt(shop: Shop, simulator: Simulator) -> None:
    """An answered submit was seen not to be listed for seven minutes: nothing is absent before twice that."""
    simulator.update(history_delay_seconds=7 * 60)
    job = doubted(shop, simulator, "slow", kind="drop_answer")
    shop.live(timedelta(seconds=2))
    shop.accept("answered")
    shop.live(8 * MINUTE)
    assert shop.verdicts(job) == ["adopted"]
    late = doubted(shop, simulator, "never", kind="reset", starts_run=False)
    shop.live(timedelta(seconds=2))
    simulator.update(history_delay_seconds=0)
    shop.accept("later")
    shop.live(12 * MINUTE)
    assert shop.verdicts(late) == ["unknown"]
    shop.live(3 * MINUTE)
    assert shop.verdicts(late) == ["absent", "accepted"]


# A history that fails in part, and runs that are our own.


def test_a_page_that_fails_is_read_again(shop: Shop, simulator: Simulator) -> None:
    """One in three calls is answered with 500: what the look shows counts, and nobody waits for the next one."""
    job = doubted(shop, simulator, "lost", kind="drop_answer")
    simulator.add_fault(call="history", kind="status", http_status=500, count=2)
    shop.live(RUN * 2)
    assert shop.verdicts(job) == ["adopted"]


def test_what_is_found_on_an_incomplete_look_counts(shop: Shop, simulator: Simulator) -> None:
    """The second page can't be read at all: the run on the first one is adopted."""
    others = [{"request_id": str(uuid4()), "request_body": {"prompt": "theirs"}} for _ in range(150)]
    httpx.post(f"{simulator.url}/_simulator/history", json=others).raise_for_status()
    shop.live(timedelta(seconds=2))
    job = doubted(shop, simulator, "lost", kind="drop_answer")
    simulator.add_fault(call="history", kind="status", http_status=500, skip=1)
    shop.live(RUN * 2)
    assert shop.verdicts(job) == ["adopted"]


@pytest.mark.parametrize("setting", ["retry", "review"])
def test_a_look_that_failed_is_no_silence(shop: Shop, simulator: Simulator, setting: str) -> None:
    """A submit was billed and answered 500, and the history is away past the deadline: it is not sent again."""
    shop.set(SAM3D_SUBMIT_SERVER_ERROR=setting)
    job = doubted(shop, simulator, "billed", kind="status", http_status=500, starts_run=True)
    simulator.add_fault(call="history", kind="status", http_status=500)
    shop.live(20 * MINUTE)
    assert (shop.job(job)["state"], shop.paid("billed")) == ("review", 1)
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert (shop.job(job)["state"], shop.paid("billed")) == ("succeeded", 1)


# Row 33: review breeds no review.


def cancelled(shop: Shop, simulator: Simulator, prompt: str) -> str:
    """Cancel a job while its submit is unanswered; its run was started."""
    job = doubted(shop, simulator, prompt, kind="drop_answer")
    shop.live(timedelta(seconds=2))
    assert cancel(shop.services, job)
    return job


@pytest.mark.parametrize("form", [{}, {"history_images": "dropped"}], ids=["as sent", "dropped"])
def test_runs_of_cancelled_jobs_put_nobody_to_review(shop: Shop, simulator: Simulator, form: dict[str, Any]) -> None:
    """They are recorded as the cancelled jobs' own: a job that was not started meanwhile is sent again."""
    simulator.update(**form)
    gone = [cancelled(shop, simulator, f"gone {number}") for number in range(3)]
    job = doubted(shop, simulator, "lost", kind="reset", starts_run=False)
    shop.live(timedelta(seconds=2))
    shop.accept("later")
    shop.live(9 * MINUTE)
    assert (shop.verdicts(job), shop.job(job)["state"]) == (["absent", "accepted"], "succeeded")
    assert [shop.verdicts(each) for each in gone] == [["adopted"]] * 3
    assert {shop.job(each)["state"] for each in gone} == {"cancelled"}


def test_a_job_in_review_goes_on_with_its_run(shop: Shop, simulator: Simulator) -> None:
    """It was put there while the history was away, and is looked up for an hour; then a person has to."""
    simulator.add_fault(call="history", kind="status", http_status=502)
    ids = [doubted(shop, simulator, f"lost {number}", kind="drop_answer") for number in range(2)]
    shop.live(20 * MINUTE)
    assert shop.states == {"review": 2}
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 2}
    assert shop.events(ids[0]) == ["accepted", "review", "submitted", "succeeded"]
    shop.check_bill()


def test_a_run_is_looked_up_for_as_long_as_the_vendor_knows_it(shop: Shop, simulator: Simulator) -> None:
    """Which is a setting: its history was away for longer than an hour."""
    simulator.update(record_seconds=3 * HOUR.total_seconds())
    shop.set(SAM3D_RECORD_LIFETIME=3 * HOUR, SAM3D_SWEEP_INTERVAL=MINUTE)
    simulator.add_fault(call="history", kind="status", http_status=502)
    doubted(shop, simulator, "lost", kind="drop_answer")
    shop.live(90 * MINUTE)
    assert shop.states == {"review": 1}
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 1}


def test_what_nobody_waits_for_is_looked_up_rarely(shop: Shop, simulator: Simulator) -> None:
    """A cancelled job whose submit started nothing takes a look a minute at most, and none after its hour."""
    job = doubted(shop, simulator, "gone", kind="reset", starts_run=False)
    shop.live(timedelta(seconds=2))
    assert cancel(shop.services, job)
    shop.live(61 * MINUTE)
    calls = shop.calls("history")
    assert calls <= 130  # Two pages a look.
    shop.live(10 * MINUTE)
    assert shop.calls("history") == calls


# Another user of the key.


@pytest.mark.parametrize("form", [{}, {"history_images": "dropped"}, {"history_images": "url"}], ids=str)
def test_another_user_of_the_key_puts_nobody_to_review(shop: Shop, simulator: Simulator, form: dict[str, Any]) -> None:
    """A run of his every three seconds, whose inputs can be read and differ: lost submits are sent again."""
    simulator.update(foreign_run_every_seconds=3, **form)
    ids = [doubted(shop, simulator, f"lost {number}", **LOST[number % 2]) for number in range(5)]
    shop.live(timedelta(seconds=2))
    ids.append(shop.accept("later"))
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    assert sum(shop.paid(f"lost {number}") for number in range(5)) == 5


# An id that was given before.


def test_an_id_that_was_given_before_is_no_answer(shop: Shop, simulator: Simulator) -> None:
    """A third of the submits are answered with an earlier run's id: each job has the model that was made for it."""
    simulator.add_fault(call="submit", kind="known_id", skip=1, rate=0.4)
    ids = {}
    for number in range(12):
        ids[f"job {number}."] = shop.accept(f"job {number}.")
        shop.live(timedelta(seconds=1))
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    made = {run["request_id"]: run["prompt"] for run in simulator.ledger()}
    assert {prompt: made[shop.job(job)["request_id"]] for prompt, job in ids.items()} == {each: each for each in ids}
    assert {"adopted", "accepted"} == {verdict for job in ids.values() for verdict in shop.verdicts(job)}
    shop.check_bill()


@pytest.mark.parametrize("form", [{}, {"history_images": "dropped"}, {"history_utc_offset_minutes": -60}], ids=str)
def test_an_id_of_a_run_whose_own_answer_was_lost_is_given_back(
    shop: Shop, simulator: Simulator, form: dict[str, Any]
) -> None:
    """The ledger does not know that id yet: once the row is listed both jobs get the run that is theirs."""
    simulator.update(**form)
    ids = {}
    for number in range(9):
        rule = {1: "drop_answer", 2: "known_id", 5: "drop_answer", 6: "known_id"}.get(number)
        if rule:
            simulator.add_fault(call="submit", kind=rule, prompt=f"job {number}.", count=1)
        ids[f"job {number}."] = shop.accept(f"job {number}.")
        shop.live(timedelta(seconds=1))
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    made = {run["request_id"]: run["prompt"] for run in simulator.ledger()}
    assert {prompt: made[shop.job(job)["request_id"]] for prompt, job in ids.items()} == {each: each for each in ids}
    shop.check_bill()


def test_two_workers_that_are_given_one_id_at_once(shop: Shop, simulator: Simulator) -> None:
    """The database lets one of them have it until the other says so too: then both are looked up."""
    services = shop.services
    taken = []
    for number in range(2):
        follow_up = FollowUp(Step.SUBMIT, Ticket(shop.accept(f"job {number}."), 1), timedelta(0))
        taken.append(load(services, Step.SUBMIT, follow_up.ticket))
    answer = Advance(
        Trigger.ANSWERED, learnt=Learnt(request_id="5A3D-0001", remote_status="QUEUED", tells_of_account=True)
    )
    other = Advance(
        Trigger.ANSWERED, learnt=Learnt(request_id="5a3d0001", remote_status="QUEUED", tells_of_account=True)
    )
    start = threading.Barrier(2)

    def commit(job: Job, outcome: Advance) -> str:
        start.wait(10)
        return str(record(services, job, outcome).change.state)

    with ThreadPoolExecutor(2) as pool:
        states = [pool.submit(commit, job, outcome) for job, outcome in zip(taken, (answer, other), strict=True) if job]
        assert sorted(each.result(20) for each in states) == ["processing", "submitting"]
    assert sorted(str(verdict) for job in taken if job for verdict in shop.verdicts(job.id)) == ["unknown", "unknown"]
    assert shop.states == {"submitting": 2}


# All of it at once.

MANY = int(os.environ.get("TEST_DOUBTS", "40"))


@pytest.mark.parametrize("images", ["as_sent", "dropped"])
def test_all_of_it_at_once(shop: Shop, simulator: Simulator, images: str) -> None:
    """Jobs for four minutes: pages fail, rows are late and in local time, answers are lost either way, some cancelled.

    Nobody is paid for twice, and hardly anybody is in review.
    """
    chance = random.Random(MANY)
    simulator.update(
        history_images=images, history_utc_offset_minutes=330, history_zone=False, history_delay_spread_seconds=150,
        foreign_run_every_seconds=3, credits=1000,
    )  # fmt: skip
    simulator.add_fault(call="history", kind="status", http_status=500, rate=0.1)
    simulator.add_fault(call="submit", kind="status", http_status=500, starts_run=True, rate=0.1)
    simulator.add_fault(call="submit", kind="reset", starts_run=False, prompt="job", rate=0.1)
    ids = {}
    for number in range(MANY):
        ids[f"job {number}."] = shop.accept(f"job {number}.")
        if chance.random() < 0.02:
            shop.live(timedelta(seconds=0))
            cancel(shop.services, ids[f"job {number}."])
        shop.live(4 * MINUTE / MANY)
    simulator.clear_faults()  # Else one of the many is lost four times in a row, now and then.
    simulator.add_fault(call="history", kind="status", http_status=500, rate=0.1)
    shop.accept("the last one")
    shop.live(16 * MINUTE)
    shop.accept("the very last one")
    shop.live(16 * MINUTE)
    assert {prompt for prompt in ids if shop.paid(prompt) > 1} == set()
    assert shop.states["review"] <= MANY / 100
    assert shop.states["succeeded"] + shop.states["cancelled"] + shop.states["review"] == MANY + 2
