"""The benchmark, in small: what is learnt costs little more than what is best."""

import random
from datetime import timedelta

import pytest

from tests.benchmarks import runs
from tests.benchmarks.runs import Oracle, log_normal, mean, rhythm, run_online, wait
from worker.rules.plan import PROMPT

PRICE = PROMPT.total_seconds()


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """Return one who knows how long runs take."""
    return Oracle(runs.main, random.Random(7), 50_000)


def test_learnt_polls_cost_little_more_than_the_optimum(oracle: Oracle) -> None:
    """Within 12 % of it, the first jobs included, of which nothing was known."""
    rng = random.Random(7)
    jobs = run_online([runs.main(rng) for _ in range(2000)], PRICE, rng)
    assert mean([job.score for job in jobs]).cost(PRICE) <= 1.12 * oracle.optimum(PRICE).cost(PRICE)


def test_rhythms_cost_more_than_the_optimum(oracle: Oracle) -> None:
    """The best of them by a third."""
    rhythms = [rhythm(gap) for gap in (1, 2, 3, 5, 8, 10, 15, 20)]
    assert min(oracle.keep_to(looks).cost(PRICE) for looks in rhythms) > 1.3 * oracle.optimum(PRICE).cost(PRICE)


def test_every_run_is_seen_to_end() -> None:
    """After it did, and by a poll that came within two minutes."""
    rng = random.Random(7)
    scores = [job.score for job in run_online([log_normal(32)(rng) for _ in range(100)], PRICE, rng)]
    assert all(score.polls >= 1 and 0 <= score.delay <= 121 for score in scores)


@pytest.mark.parametrize(("delay", "hops"), [(1, 1), (4, 2), (20, 3), (31, 3), (120, 1)])
def test_a_wait_is_made_of_the_steps_of_the_ladder(delay: int, hops: int) -> None:
    """It ends a little late for each of them, and never more than the slack early."""
    waited = wait(timedelta(seconds=delay), random.Random(7)) - delay
    assert -0.25 <= waited <= (hops + 2) * 0.03
