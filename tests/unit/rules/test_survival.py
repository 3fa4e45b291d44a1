"""How long runs take: what is learnt from those that were seen, and from those that were not seen to end."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.survival import (
    AGES,
    ENOUGH,
    HORIZON,
    PRIOR_RUNS,
    TAIL_RUNS,
    Curve,
    Run,
    _kaplan_meier,
    learn,
    of_one_kind,
)

EXPECTED = 31.7
POLLED = 3.0

seconds = st.floats(0, 2 * HORIZON)
anything = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def any_runs(draw: st.DrawFn) -> Run:
    """Return a run of up to two hours, seen to end or not, of which the vendor says whatever it likes."""
    running_at = draw(seconds)
    over_by = draw(st.none() | st.floats(running_at, 3 * HORIZON))
    told = draw(st.none() | anything) if over_by is not None else None
    return Run(running_at, over_by, told, draw(st.none() | anything))


def ended(takes: float, queued: float | None = None) -> Run:
    """Return a run that was polled every three seconds and is told to have taken so long."""
    running_at = takes // POLLED * POLLED
    return Run(running_at, running_at + POLLED, takes, queued)


def runs_of(mean: float, count: int, rng: random.Random) -> Sequence[Run]:
    """Return runs of one kind: log-normal about this mean, with a coefficient of variation of a quarter."""
    return [ended(rng.lognormvariate(math.log(mean) - 0.03, 0.246)) for _ in range(count)]


def share_ended(curve: Curve, first: float, last: float) -> float:
    """Return the share of runs that end within these ages."""
    within = sum(share for share, age in zip(curve.ending, AGES, strict=True) if first < age <= last)
    return within / sum(curve.ending)


def test_ages_are_seconds_first_and_reach_the_horizon() -> None:
    """Whole seconds, as the broker waits, each told apart for as long as most runs take."""
    assert AGES[:61] == tuple(range(61))
    assert list(AGES) == sorted(set(AGES))
    assert AGES[-2] < HORIZON <= AGES[-1]


@given(any_runs())
def test_an_end_never_leaves_what_was_seen(run: Run) -> None:
    """Whatever the vendor tells: no run ends before it was seen running, or after it was seen to be over."""
    if run.over_by is None:
        assert run.ended_at is None
    else:
        assert run.ended_at is not None
        assert run.running_at <= run.ended_at <= run.over_by


@pytest.mark.parametrize(
    ("told", "ended_at"),
    [(None, 15), (12.5, 12.5), (3, 10), (-1e8, 10), (99, 20), (1e8, 20), (math.inf, 20), (math.nan, 10)],
)
def test_the_vendor_is_believed_as_far_as_it_agrees_with_what_was_seen(told: float | None, ended_at: float) -> None:
    """Without its word, the end is in the middle."""
    assert Run(10, 20, told).ended_at == ended_at


def test_runs_that_left_share_out_what_was_theirs() -> None:
    """Of four, one ends at 10 s and one was last seen at 15 s: the two that are left stand for three."""
    runs = [Run(39, 40, 40), Run(9, 10, 10), Run(15), Run(19, 20, 20)]
    assert list(_kaplan_meier(runs)) == [(10, 0.25), (20, 0.375), (40, 0.375)]


def test_a_run_last_seen_when_another_ended_was_still_there() -> None:
    """An end counts among all that were running then."""
    assert list(_kaplan_meier([Run(10), Run(9, 10, 10)])) == [(10, 0.5)]


@given(st.lists(any_runs(), max_size=30), st.floats(0, 2 * HORIZON))
def test_every_run_counts_once(runs: Sequence[Run], expected: float) -> None:
    """However they ended: a curve has as many runs as were seen, what is expected, and what is still to come."""
    curve = learn(runs, expected)
    seen = sum(run.running_at > 0 or run.over_by is not None for run in of_one_kind(runs))
    assert min(curve.ending) >= 0
    assert sum(curve.ending) == pytest.approx(seen + PRIOR_RUNS + 2 * TAIL_RUNS, rel=1e-3)
    assert 0 <= curve.median <= AGES[-1]


@given(st.lists(any_runs(), min_size=ENOUGH, max_size=30))
def test_no_run_is_processed_longer_than_it_took(runs: Sequence[Run]) -> None:
    """Whatever the vendor says of its queue."""
    longest = max((run.ended_at or 0.0 for run in runs), default=0.0)
    assert 0 <= learn(runs, EXPECTED).processing <= longest


def test_nothing_seen_is_what_is_expected() -> None:
    """Half of it within a third of the expected run, and something left for the unexpected."""
    curve = learn([], EXPECTED)
    assert curve.median == pytest.approx(EXPECTED, rel=0.1)
    assert share_ended(curve, EXPECTED * 0.7, EXPECTED * 1.4) > 0.5
    assert share_ended(curve, 600, AGES[-1]) > 0.01


@pytest.mark.parametrize("expected", [0.0, 0.1, 1.0])
def test_a_tiny_expectation_works(expected: float) -> None:
    """Tests of the service expect their runs to end at once."""
    assert learn([], expected).median <= 2


@pytest.mark.parametrize("takes", [0, 1, 12, 31, 75, 600])
def test_many_runs_outweigh_what_is_expected(takes: float) -> None:
    """Nine in ten of what is to come takes as long as they did, but for the ages that are not told apart."""
    curve = learn([ended(takes)] * 400, EXPECTED)
    assert share_ended(curve, takes * 0.84 - 1, takes * 1.17 + 10) > 0.9


def test_one_run_changes_little() -> None:
    """It counts a quarter of what is expected."""
    assert learn([ended(90)], EXPECTED).median == pytest.approx(EXPECTED, rel=0.25)


@given(st.floats(1, HORIZON - 60), st.integers(1, 100))
def test_runs_that_only_run_do_not_end_earlier(age: float, count: int) -> None:
    """Those that have not ended by an age say nothing of ends before it."""
    curve = learn([Run(age)] * count, EXPECTED)
    assert share_ended(curve, 0, age) * sum(curve.ending) <= PRIOR_RUNS + TAIL_RUNS + 1e-6
    assert min(curve.ending) >= 0


def test_many_runs_that_only_run_are_still_expected_to_end() -> None:
    """Of 400 that were submitted at once and looked at once, most are about to end, as was expected."""
    curve = learn([Run(24)] * 400, EXPECTED)
    assert share_ended(curve, 24, 60) > 0.75


def test_what_was_never_looked_at_says_nothing() -> None:
    """A run that was just submitted is no run that goes on for ever."""
    assert learn([Run(0)] * 50, EXPECTED) == learn([], EXPECTED)


def test_processing_is_told_by_enough_runs() -> None:
    """It is what the quickest but for one in twenty took beside the queue, and nothing before there are ten of them."""
    runs = [ended(20 + number * 7 % 40 + number % 5, number % 5) for number in range(40)]
    assert learn(runs, EXPECTED).processing == pytest.approx(22)
    assert learn(runs[: ENOUGH - 1], EXPECTED).processing == 0


@pytest.mark.parametrize("after", [60, 16])
@pytest.mark.parametrize("seed", range(5))
def test_a_change_of_run_times_is_noticed_within_thirty_runs(after: float, seed: int) -> None:
    """From then on only they count."""
    rng = random.Random(seed)
    old, new = runs_of(32, 370, rng), runs_of(after, 30, rng)
    assert len(of_one_kind([*new, *old])) <= 30


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_change_takes_more_runs_to_be_noticed(seed: int) -> None:
    """Of runs that take a third longer, sixty are enough."""
    rng = random.Random(seed)
    old, new = runs_of(32, 340, rng), runs_of(42, 60, rng)
    assert len(of_one_kind([*new, *old])) <= 60


def test_a_change_is_noticed_before_the_first_of_them_ended() -> None:
    """That fifteen are still running when nearly all others had ended is enough."""
    old = runs_of(32, 300, random.Random(7))
    assert len(of_one_kind([*[Run(55)] * 15, *old])) == 15


def test_runs_of_one_kind_are_rarely_taken_for_two() -> None:
    """At most one of twenty histories of 400 runs."""
    histories = [runs_of(32, 400, random.Random(seed)) for seed in range(20)]
    assert sum(len(of_one_kind(runs)) < len(runs) for runs in histories) <= 1


def test_runs_in_flight_are_not_taken_for_another_kind() -> None:
    """That the newest have not ended yet does not mean that they take longer."""
    rng = random.Random(7)
    runs = [*[Run(24)] * 20, *runs_of(32, 300, rng)]
    assert len(of_one_kind(runs)) == len(runs)


def test_too_few_runs_are_of_one_kind() -> None:
    """Fifteen are not compared with anything."""
    runs = [*[ended(60)] * 10, *[ended(16)] * 5]
    assert of_one_kind(runs) == runs
