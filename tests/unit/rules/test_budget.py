"""The arithmetic of the request budget: the limit holds in any minute, and what a 429 teaches stays within reason."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.database.due import SLACK
from worker.rules.budget import (
    DEAREST,
    HALVED,
    LATE,
    LOWERED,
    OVERBOOKED,
    PATIENCE,
    RISE,
    Terms,
    limit_now,
    lowered,
    price,
    slot_of,
)
from worker.rules.lifecycle import MINUTE, NOW, Step
from worker.rules.plan import PROMPT, Plan, make_plan
from worker.rules.survival import learn

SECOND = timedelta(seconds=1)
A_HAIR = timedelta(milliseconds=1)

limits = st.integers(1, 100_000)
learnt_limits = st.floats(1, 100_000)
ages = st.timedeltas(NOW, timedelta(days=30))
rests = st.timedeltas(timedelta(0), timedelta(minutes=10))


def _plan(polls: float = 3.0, typical: float = 30.0) -> Plan:
    return Plan(looks=(30,), polls=polls, typical=timedelta(seconds=typical), processing=NOW)


plans = st.builds(_plan, st.floats(1, 60), st.integers(1, 3600))


def _busiest_minute(times: list[timedelta]) -> int:
    """Count the requests in that minute, whenever it begins, which has the most of them."""
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= MINUTE:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(limit=st.integers(1, 200), seed=st.integers(0, 10**6))
def test_no_minute_has_more_requests_than_the_limit(limit: int, seed: int) -> None:
    """However late each request is, within what is allowed, less a hair: slots are whole microseconds."""
    chance = random.Random(seed)
    slot = slot_of(limit)
    times = [number * slot + chance.choice((NOW, LATE / 3, LATE - A_HAIR)) for number in range(3 * limit)]
    assert _busiest_minute(times) <= limit


@given(limit=st.integers(1, 200), turn=st.integers(0, 200))
def test_the_limit_holds_where_late_requests_meet_early_ones(limit: int, turn: int) -> None:
    """The worst case: all up to some time are as late as can be, all after it on time."""
    slot = slot_of(limit)
    times = [number * slot + (LATE - A_HAIR if number <= turn else NOW) for number in range(turn + 2 * limit)]
    assert _busiest_minute(times) <= limit


def test_a_slot_allows_for_all_that_makes_a_request_early_or_late() -> None:
    """A message that comes within the slack before its time counts as on time: so a request can be early as well."""
    assert slot_of(1) - MINUTE >= LATE + SLACK


@given(limit=limits)
def test_a_slot_is_never_nothing(limit: int) -> None:
    """And little of the limit is given away: its slots take a minute, and two seconds at most."""
    whole, rounding = limit * slot_of(limit), limit * timedelta(microseconds=1)
    assert slot_of(limit) > NOW
    assert MINUTE + LATE - rounding <= whole <= MINUTE + 2 * SECOND + rounding


@given(fewer=st.integers(0, 1000), more=st.integers(0, 1000), limit=limits, typical=st.integers(1, 3600))
def test_a_request_is_worth_more_the_more_wait(fewer: int, more: int, limit: int, typical: int) -> None:
    """Never less than a prompt look is worth where nobody waits, never more than half a run."""
    fewer, more = sorted((fewer, more))
    run, slot = timedelta(seconds=typical), slot_of(limit)
    least, most = price(fewer, 1, slot, run), price(more, 1, slot, run)
    assert price(0, fewer, slot, run) <= price(0, more, slot, run) <= most
    assert PROMPT <= least <= most <= max(PROMPT, DEAREST * run)
    assert DEAREST <= 0.5


@given(jobs=st.integers(2, 1000), limit=limits, typical=st.integers(1, 3600))
def test_who_waits_counts_for_more_than_who_is_polled(jobs: int, limit: int, typical: int) -> None:
    """He loses a slot for certain; a run that is polled only if it is due just then."""
    run, slot = timedelta(seconds=typical), slot_of(limit)
    assert price(0, jobs, slot, run) <= price(jobs // 2, 0, slot, run)


def test_slots_that_nobody_waits_for_are_used_to_see_ends_sooner() -> None:
    """Of 20 runs under 60 requests a minute; while as many jobs wait beside them, a look is as dear as it can be."""
    run, slot = timedelta(seconds=30), slot_of(60)
    assert price(0, 20, slot, run) < 3 * SECOND
    assert price(20, 20, slot, run) == DEAREST * run


@given(waiting=st.integers(0, 1000), typical=st.integers(0, 3600))
def test_without_a_limit_a_request_costs_nobody_a_thing(waiting: int, typical: int) -> None:
    """However many wait, they do not wait for it."""
    assert price(waiting, waiting, None, timedelta(seconds=typical)) == PROMPT


@given(low=limits, high=limits, plan=plans, reads_count=st.booleans())
def test_the_more_is_allowed_the_more_go_together(low: int, high: int, plan: Plan, reads_count: bool) -> None:
    """And one job at least, or none would ever go."""
    low, high = sorted((low, high))
    fewer, more = (Terms(plan, limit, reads_count).most_together for limit in (low, high))
    assert 1 <= fewer <= more


@given(limit=limits, plan=plans)
def test_more_go_together_where_reads_are_free(limit: int, plan: Plan) -> None:
    """Only their submits take slots then."""
    assert Terms(plan, limit, reads_count=False).most_together >= Terms(plan, limit).most_together


@given(limit=st.integers(60, 100_000), plan=plans)
def test_what_goes_together_is_what_the_budget_carries(limit: int, plan: Plan) -> None:
    """Their requests fill the slots of half a run, and half as many again."""
    terms = Terms(plan, limit)
    taken = terms.most_together * terms.requests * slot_of(limit)
    assert terms.most_together == 1 or taken <= OVERBOOKED * terms.together + SECOND


def test_without_a_limit_nobody_counts_what_goes_together() -> None:
    """The question is a mistake."""
    with pytest.raises(ValueError, match="Without a limit"):
        _ = Terms(_plan()).most_together


@given(limit=limits, learnt=learnt_limits, age=ages)
def test_the_limit_is_never_over_the_setting(limit: int, learnt: float, age: timedelta) -> None:
    """What was learnt may be more than that, if the setting was lowered since."""
    assert 0 < limit_now(limit, learnt, age) <= limit


@given(limit=limits, learnt=learnt_limits, age=ages)
def test_the_limit_rises_to_the_setting(limit: int, learnt: float, age: timedelta) -> None:
    """By 1 % of it a minute: after 100 minutes nothing is left of what was learnt."""
    now, later = limit_now(limit, learnt, age), limit_now(limit, learnt, age + MINUTE)
    assert now <= later <= now + limit * RISE * 1.001
    assert limit_now(limit, learnt, 100 * MINUTE) == pytest.approx(limit)


@given(limit=limits)
def test_the_limit_is_as_set_where_nothing_was_learnt(limit: int) -> None:
    """However long ago that was."""
    assert limit_now(limit, None, NOW) == limit


@given(limit=limits, learnt=learnt_limits, back=ages)
def test_a_clock_that_was_turned_back_takes_nothing_from_the_limit(limit: int, learnt: float, back: timedelta) -> None:
    """What was learnt a moment ago, by a clock that was ahead, is what was learnt; never nothing, or less than that."""
    assert limit_now(limit, learnt, -back) == min(limit, learnt)


@given(limit=learnt_limits, opens_in=rests, is_told=st.booleans())
def test_a_429_lowers_the_limit_within_reason(limit: float, opens_in: timedelta, is_told: bool) -> None:
    """By a tenth at least, by half at most, and never below a request a minute."""
    learnt = lowered(limit, opens_in, is_told=is_told)
    assert learnt >= 1
    assert max(1.0, HALVED * limit) <= learnt <= max(1.0, LOWERED * limit)


@pytest.mark.parametrize(
    ("left", "learnt"),
    [(30, 60), (24, 72), (20, 80), (12, 96), (6, 108), (1, 108), (0, 108), (45, 60), (59, 60)],
)
def test_the_end_of_the_minute_tells_the_limit(left: int, learnt: float) -> None:
    """At 120 a minute, spread evenly, what went through before the 429 is the vendor's limit."""
    assert lowered(120, timedelta(seconds=left), is_told=True) == pytest.approx(learnt)


@pytest.mark.parametrize(("left", "is_told"), [(30, False), (60, False), (60, True), (61, True), (600, True)])
def test_without_an_end_within_the_minute_the_limit_is_lowered_a_little(left: int, is_told: bool) -> None:
    """A time that was guessed, or that is another window's, teaches only that it was too much."""
    assert lowered(120, timedelta(seconds=left), is_told=is_told) == pytest.approx(108)


def test_a_limit_far_too_high_is_found_in_some_minutes() -> None:
    """Set to 1000 where 10 are allowed, each minute's 429 halves it until it is told exactly."""
    limit = 1000.0
    for _ in range(7):
        used_up_at = min(10 / limit, 1.0)
        limit = lowered(limit, MINUTE * (1 - used_up_at), is_told=True)
    assert limit == pytest.approx(10)


@pytest.mark.parametrize(
    ("limit", "reads_count", "drawing"),
    [
        (None, True, set()),
        (None, False, set()),
        (60, True, {Step.SUBMIT, Step.POLL, Step.FETCH}),
        (60, False, {Step.SUBMIT}),
        (1, True, {Step.SUBMIT, Step.POLL, Step.FETCH}),
    ],
)
def test_what_draws(limit: int | None, reads_count: bool, drawing: set[Step]) -> None:
    """Each step is decided, for each of what can be known."""
    assert {step for step in Step if Terms(_plan(), limit, reads_count).draws_for(step)} == drawing


def test_a_job_takes_its_submit_its_polls_and_its_result() -> None:
    """Or its submit alone, where reads are free."""
    terms = Terms(_plan(polls=3.5), 60)
    assert terms.requests == 5.5
    assert replace(terms, reads_count=False).requests == 1


@given(limit=limits, plan=plans)
def test_the_queue_is_a_share_of_a_run(limit: int, plan: Plan) -> None:
    """What waits for its slot is late by so much at the most, so it does not depend on the limit."""
    assert Terms(plan, limit).queue == PATIENCE * plan.typical


@pytest.mark.parametrize(
    ("single_look", "bulk_look", "requests"), [(None, False, 5), (False, False, 5), (True, False, 4), (True, True, 1.2)]
)
def test_what_a_job_takes(single_look: bool | None, bulk_look: bool, requests: float) -> None:
    """Its submit, its polls, and its result where the last of them is not that; or hardly more than its submit."""
    assert Terms(_plan(), 60, None, single_look, bulk_look).requests == pytest.approx(requests)


@given(age=ages)
def test_where_a_look_goes(age: timedelta) -> None:
    """To the result where that tells all; where nobody knows, once a run is likely over."""
    plan = make_plan(learn((), 30), PROMPT)
    assert Terms(plan, single_look=True).looks_at_result(age)
    assert not Terms(plan, single_look=False).looks_at_result(age)
    assert Terms(plan, single_look=None).looks_at_result(age) == (age >= plan.typical)
