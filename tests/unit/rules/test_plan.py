"""When to look and when to try again: seldom enough for the vendor, soon enough for the sender."""

import random
import sys
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.plan import LONGEST_GAP, PROMPT, Plan, make_plan, prior_plan
from worker.rules.survival import AGES, Curve, Run, learn

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
EXPECTED = 31.7

ages = st.timedeltas(timedelta(0), timedelta(hours=2))
prices = st.timedeltas(timedelta(milliseconds=50), MINUTE)
ends = st.tuples(st.integers(1, len(AGES) - 1), st.floats(0.01, 100))


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Return a curve of any shape: some ends at some of the ages, and how long the shortest is processed."""
    ending = [0.0] * len(AGES)
    for index, weight in draw(st.lists(ends, min_size=1, max_size=30)):
        ending[index] += weight
    return Curve(tuple(ending), draw(st.floats(0, 60)))


def learnt(takes: Sequence[float], price: timedelta = PROMPT, expected: float = EXPECTED) -> Plan:
    """Return the plan after runs that took so long, each seen within a second of its end, a second of it queued."""
    return make_plan(learn([Run(max(0, each - 1), each + 1, each, 1) for each in takes], expected), price)


def looks_of(plan: Plan) -> Sequence[float]:
    """Return the ages, s, at which a run is looked at that does not end before the vendor forgets it."""
    age = plan.first
    looks = [age]
    while age.total_seconds() < AGES[-2]:
        age += plan.next(age)
        looks.append(age)
    return [look.total_seconds() for look in looks]


@given(curves(), prices, prices)
def test_dearer_polls_are_fewer(curve: Curve, one: timedelta, other: timedelta) -> None:
    """What a poll is worth decides between polls and delay."""
    low, high = sorted((one, other))
    assert make_plan(curve, high).polls <= make_plan(curve, low).polls + 1e-9


@given(curves(), prices, ages, st.booleans())
def test_looks_are_whole_seconds_and_at_most_two_minutes_apart(
    curve: Curve, price: timedelta, age: timedelta, is_queued: bool
) -> None:
    """The vendor is not hammered, no run is given up, and each wait is one that the broker can make."""
    delay = make_plan(curve, price).next(age, is_queued=is_queued)
    assert SECOND <= delay <= LONGEST_GAP
    assert delay % SECOND == timedelta(0)


@given(curves(), prices, ages)
def test_a_run_in_the_queue_is_left_alone_while_it_is_processed(curve: Curve, price: timedelta, age: timedelta) -> None:
    """It can't end sooner than the shortest that was ever processed."""
    delay = make_plan(curve, price).next(age, is_queued=True)
    assert delay >= min(timedelta(seconds=round(curve.processing)), LONGEST_GAP) or age.total_seconds() > AGES[-2] - 60


@pytest.mark.parametrize("expected", [2, 5, 31.7, 120])
def test_the_first_look_at_a_first_run_is_near_what_is_expected(expected: float) -> None:
    """Nothing else is known of it."""
    first = learnt([], expected=expected).first.total_seconds()
    assert expected * 0.5 <= first <= expected * 1.2


def test_what_is_expected_to_end_at_once_is_looked_at_at_once() -> None:
    """Tests of the service expect so."""
    assert learnt([], expected=0).first == SECOND


@pytest.mark.parametrize("takes", [2, 10, 31, 58])
def test_runs_that_all_take_as_long_are_seen_at_once(takes: float) -> None:
    """With one poll, or a second one where the first was just too early."""
    plan = learnt([takes] * 400)
    assert [look for look in looks_of(plan) if takes <= look <= takes + 2]
    assert sum(look < takes for look in looks_of(plan)) <= 1
    assert plan.polls < 2.5


@given(st.lists(st.floats(1, 1.5), min_size=150, max_size=150), st.integers(8, 100))
def test_nothing_is_asked_before_anything_ends(spread: Sequence[float], shortest: int) -> None:
    """Given enough runs, the first look is not before the shortest of them could have ended."""
    takes = [shortest * each for each in spread]
    assert learnt(takes, expected=shortest).first.total_seconds() >= min(takes) * 0.85 - 1


def test_two_kinds_of_runs_are_looked_at_after_each() -> None:
    """Looks are close where runs of 20 s or of 60 s end, and none is wasted between."""
    rng = random.Random(7)
    takes = [rng.gauss(20, 2) if rng.random() < 0.6 else rng.gauss(60, 5) for _ in range(400)]
    looks = looks_of(learnt(takes))
    assert sum(17 <= look <= 27 for look in looks) >= 3
    assert sum(29 <= look <= 48 for look in looks) <= 1
    assert sum(50 <= look <= 75 for look in looks) >= 4


def test_a_typical_run_costs_few_requests() -> None:
    """One that never ends costs two a minute until it is given up."""
    rng = random.Random(7)
    plan = learnt([rng.lognormvariate(3.43, 0.246) for _ in range(400)])
    assert plan.polls < 4.6
    assert len(looks_of(plan)) <= 120


@pytest.mark.parametrize("age", [AGES[-1], AGES[-1] + 0.5, 5000, 90_000])
def test_a_run_that_outlives_the_horizon_is_looked_at_seldom(age: float) -> None:
    """Nothing is known of such a one; if somebody waits that long, every two minutes will do."""
    assert learnt([]).next(timedelta(seconds=age)) == LONGEST_GAP


@pytest.mark.parametrize("running_at", [3599, 3604, 5000, 90_000])
def test_a_run_in_flight_for_hours_leaves_the_others_as_they_are(running_at: float) -> None:
    """One that was held and never ended is one of many."""
    takes = [Run(29, 32, 30)] * 50
    plan = make_plan(learn([Run(running_at), *takes], EXPECTED), PROMPT)
    assert abs(plan.first - make_plan(learn(takes, EXPECTED), PROMPT).first) <= SECOND
    assert plan.polls < 6


def test_a_clock_that_stepped_back_is_the_submit() -> None:
    """A run is not younger than just submitted."""
    plan = learnt([])
    assert plan.next(timedelta(seconds=-5)) <= plan.first + 6 * SECOND


def test_a_plan_takes_few_operations() -> None:
    """From 400 runs: some tens of thousands of calls, so a few milliseconds."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    runs = [Run(25 + each / 40, 27 + each / 40, 26 + each / 40) for each in range(400)]
    sys.setprofile(count)
    try:
        make_plan(learn(runs, EXPECTED), PROMPT)
    finally:
        sys.setprofile(None)
    assert calls < 100_000


def test_before_a_run_was_seen_it_goes_by_what_is_expected() -> None:
    """The vendor's 31.7 s: not soon, then often, then ever less."""
    plan, age, looks = prior_plan(timedelta(seconds=EXPECTED)), timedelta(0), list[float]()
    while len(looks) < 8:
        age += plan.next(age)
        looks.append(age.total_seconds())
    assert looks == [24, 29, 33, 37, 41, 45, 49, 54]
