"""Pure: when to look at a run next. No clock and no randomness of its own."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from worker.rules.lifecycle import NOW
from worker.rules.retry import SHORTEST_GAP
from worker.rules.survival import AGES, Curve, learn

LONGEST_GAP = timedelta(seconds=120)
PROMPT = timedelta(seconds=0.5)
"""What a request is worth where nobody waits for it: 0.5 s of a result's delay makes four polls and two seconds."""


@dataclass(frozen=True)
class Plan:
    """When to look at a run: for each of :data:`AGES` the next age to look at, s, and the looks still to come."""

    looks: tuple[int, ...]
    polls: float
    typical: timedelta
    processing: timedelta
    ended: tuple[float, ...] = field(default=(), repr=False)

    def chance_of_end(self, age: timedelta) -> float:
        """Return how likely a run has ended by an age."""
        if not self.ended:
            return 0.0
        return self.ended[bisect_right(AGES, max(age, NOW).total_seconds()) - 1] / self.ended[-1]

    @property
    def first(self) -> timedelta:
        """How long after the submit the first poll is made."""
        return self.next(NOW)

    def next(self, age: timedelta, *, is_queued: bool = False) -> timedelta:
        """Return the delay until the next poll of a run of this age that has not ended.

        One that is still in the vendor's queue can't end before it was processed.
        """
        alive_until = age + (self.processing if is_queued else NOW)
        index = bisect_right(AGES, max(alive_until, NOW).total_seconds()) - 1
        if index == len(AGES) - 1:
            return LONGEST_GAP  # The vendor has forgotten it by now.
        look = timedelta(seconds=self.looks[index])
        return min(max(_whole_seconds(look - age), SHORTEST_GAP), LONGEST_GAP)


def _whole_seconds(delay: timedelta) -> timedelta:
    """Round as the broker's delays are: a fraction of a second would be another hop and a whole second."""
    return timedelta(seconds=round(delay.total_seconds()))


def prior_plan(expected: timedelta) -> Plan:
    """Return the plan that counts before a run was seen; expected 31.7 s: looks at 24, 29, 33, 37 s, and so on."""
    return make_plan(learn((), expected.total_seconds()), PROMPT)


def make_plan(curve: Curve, price: timedelta) -> Plan:
    """Choose the looks that cost the least: each its ``price``, each second that an end goes unseen a second.

    Dynamic programming from the horizon back. The best next look never comes earlier for an older run (the costs
    obey the quadrangle inequality: Yao 1980), so that of the next age is the last one that has to be tried.
    """
    ended, last = curve.ended, len(AGES) - 1
    cost, polls, following = [0.0] * len(AGES), [0.0] * len(AGES), [last] * len(AGES)
    for age in range(last - 1, -1, -1):
        alive = ended[last] - ended[age]
        look = following[age] = _best_look(age, following[age + 1], ended, cost)
        cost[age] = price.total_seconds() * alive + _seen_at(age, look, ended) + cost[look]
        polls[age] = alive + polls[look]
    return Plan(
        looks=tuple(AGES[look] for look in following),
        polls=polls[0] / ended[last],
        typical=timedelta(seconds=curve.median),
        processing=timedelta(seconds=curve.processing),
        ended=ended,
    )


def _best_look(age: int, furthest: int, ended: Sequence[float], cost: Sequence[float]) -> int:
    """Return the next look after an age that costs the least."""
    within = bisect_right(AGES, AGES[age] + LONGEST_GAP.total_seconds()) - 1
    looks = range(age + 1, max(age + 1, min(furthest, within)) + 1)
    return min(looks, key=lambda look: _seen_at(age, look, ended) + cost[look])


def _seen_at(age: int, look: int, ended: Sequence[float]) -> float:
    """Add up when the ends between two looks are seen, s; when they came is the same whatever the looks."""
    return AGES[look] * (ended[look] - ended[age])
