"""No other looks cost less: each plan against all that there could be."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.plan import LONGEST_GAP, Plan, make_plan
from worker.rules.survival import AGES, Curve

MINUTE = timedelta(minutes=1)

prices = st.timedeltas(timedelta(milliseconds=50), MINUTE)

ends = st.tuples(st.integers(1, len(AGES) - 1), st.floats(0.01, 100))


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Return a curve of any shape: some ends at some of the ages, and how long the shortest is processed."""
    ending = [0.0] * len(AGES)
    for index, weight in draw(st.lists(ends, min_size=1, max_size=30)):
        ending[index] += weight
    return Curve(tuple(ending), draw(st.floats(0, 60)))


def cheapest(curve: Curve, price: float) -> Sequence[float]:
    """Return what a run costs from each age on, at the least: every next look is tried."""
    step = Steps(curve, price)
    cost = [0.0] * len(AGES)
    for age in range(len(AGES) - 2, -1, -1):
        within = max(age + 1, bisect_right(AGES, AGES[age] + LONGEST_GAP.total_seconds()) - 1)
        cost[age] = min(step.cost(age, look) + cost[look] for look in range(age + 1, within + 1))
    return cost


def planned(curve: Curve, price: float, plan: Plan) -> Sequence[float]:
    """Return what a run costs from each age on by a plan."""
    step = Steps(curve, price)
    cost = [0.0] * len(AGES)
    for age in range(len(AGES) - 2, -1, -1):
        look = AGES.index(plan.looks[age])
        cost[age] = step.cost(age, look) + cost[look]
    return cost


class Steps:
    """What it costs to look next at an age: the poll of what has not ended, and the wait of what ends until then."""

    def __init__(self, curve: Curve, price: float) -> None:
        middles = [0.0, *((low + high) / 2 for low, high in pairwise(AGES))]
        self.price = price
        self.ended = list(accumulate(curve.ending))
        self.spent = list(accumulate(share * at for share, at in zip(curve.ending, middles, strict=True)))

    def cost(self, age: int, look: int) -> float:
        """Return the cost of one step, over all runs."""
        waiting = AGES[look] * (self.ended[look] - self.ended[age]) - (self.spent[look] - self.spent[age])
        return self.price * (self.ended[-1] - self.ended[age]) + waiting


@given(curves(), prices)
def test_no_other_looks_cost_less(curve: Curve, price: timedelta) -> None:
    """From each age on, the plan is as good as the best of all next looks, tried one by one."""
    least = cheapest(curve, price.total_seconds())
    assert planned(curve, price.total_seconds(), make_plan(curve, price)) == pytest.approx(least, abs=1e-6)
