"""Pure: how long runs take, learnt from those that were seen: the share of them that has ended by each age.

Kaplan-Meier's estimate (runs that have not ended count for as long as they were seen), smoothed, with the vendor's
published run time as a few runs' worth of prior, over as many recent runs as are of one kind.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

HORIZON = 3600
"""Seconds after which the vendor forgets a run."""

NARROW = 0.05
"""A run that was seen stands for runs up to so much shorter and longer, as a share of it: one standard deviation."""

PRIOR_RUNS, PRIOR_SPREAD = 4.0, 0.3
"""What is expected counts as much as so many runs, spread by so much around it."""

TAIL_RUNS = 0.25
"""So much of a run, on top, takes anything up to the horizon, and as much never ends: there is always one to come."""

RECENT = (15, 30, 60, 120, 240)
"""Numbers of last runs that are compared with those before them."""

OTHER = 15.0
"""Log-rank statistic (chi-squared, one degree of freedom) from which they are of another kind.

By chance one comparison in 10,000 comes to it.
"""

ENOUGH = 10
"""Runs from which the shortest time of processing is told."""


def _ages() -> tuple[int, ...]:
    ages = [0]
    while ages[-1] < HORIZON:
        ages.append(ages[-1] + max(1, ages[-1] // 60))
    return tuple(ages)


AGES = _ages()
"""The ages of a run that are told apart, s: each second at first, a sixtieth of the age later."""


@dataclass(frozen=True)
class Run:
    """What is known of how long a run took, seconds since its submit.

    ``running_at`` is the age at which it was last seen running, ``over_by`` that at which it was seen to be over
    (None: it was not), ``told`` what the vendor says of it.
    """

    running_at: float
    over_by: float | None = None
    told: float | None = None
    queued: float | None = None

    @property
    def ended_at(self) -> float | None:
        """The vendor's word as far as it agrees with what was seen; without it the middle of what is possible."""
        if self.over_by is None:
            return None
        told = (self.running_at + self.over_by) / 2 if self.told is None else self.told
        return min(max(self.running_at, told), self.over_by)


@dataclass(frozen=True)
class Curve:
    """How many runs end just before each of :data:`AGES`, and the least that processing takes, s."""

    ending: tuple[float, ...]
    processing: float = 0.0

    @cached_property
    def ended(self) -> tuple[float, ...]:
        """The share that has ended by each age."""
        return tuple(accumulate(self.ending))

    @cached_property
    def median(self) -> float:
        """The age by which half has ended, s."""
        return AGES[bisect_left(self.ended, self.ended[-1] / 2)]


def learn(runs: Sequence[Run], expected: float) -> Curve:
    """Estimate from the last runs, newest submit first, and from what is expected where they are few."""
    alike = of_one_kind([run for run in runs if run.running_at > 0 or run.over_by is not None])
    ending = [0.0] * len(AGES)
    for age, share in _kaplan_meier(alike):
        _spread(ending, age, NARROW, share * len(alike))
    unseen = max(0.0, len(alike) - sum(ending))  # Those that outlive all that were seen to end.
    oldest = max((run.running_at for run in alike if run.over_by is None), default=0.0)
    prior = _prior(max(expected, 1.0))
    later = bisect_right(AGES, min(oldest, AGES[-2]))
    more = 1 + unseen / sum(prior[later:])  # They do as is expected of runs of their age.
    for index, share in enumerate(prior):
        ending[index] += share * (more if index >= later else 1.0)
    return Curve(tuple(ending), _processing(alike))


def _prior(expected: float) -> list[float]:
    """Return the curve that counts while few runs were seen, and the doubt that stays."""
    ending = [0.0] * len(AGES)
    _spread(ending, expected, PRIOR_SPREAD, PRIOR_RUNS)
    _spread_on(ending, expected, TAIL_RUNS)
    ending[-1] += TAIL_RUNS
    return ending


def of_one_kind(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs since run times last changed: those before differ from the newest ones."""
    marked = [(_log_rank(runs[:count], runs[count:]), count) for count in RECENT if count < len(runs)]
    most, count = max(marked, default=(0.0, 0))
    return runs[:count] if most > OTHER else runs


def _log_rank(newer: Sequence[Run], older: Sequence[Run]) -> float:
    """Tell how far two groups differ in how long they live (Mantel 1966)."""
    new, old = _tables(newer), _tables(older)
    alive_new, alive_old = float(len(newer)), float(len(older))
    surplus = variance = 0.0
    for (ended_new, left_new), (ended_old, left_old) in zip(new, old, strict=True):
        ended, alive = ended_new + ended_old, alive_new + alive_old
        if ended and alive > 1:
            share = alive_new / alive
            surplus += ended_new - ended * share
            variance += ended * share * (1 - share) * (alive - ended) / (alive - 1)
        alive_new, alive_old = alive_new - ended_new - left_new, alive_old - ended_old - left_old
    return surplus**2 / variance if variance else 0.0


def _tables(runs: Iterable[Run]) -> list[list[int]]:
    """Count by age the runs that ended and those that were last seen running."""
    table = [[0, 0] for _ in AGES]
    for run in runs:
        if run.ended_at is not None:
            table[min(bisect_left(AGES, run.ended_at), len(AGES) - 1)][0] += 1
        else:
            table[bisect_right(AGES, run.running_at) - 1][1] += 1
    return table


def _kaplan_meier(runs: Sequence[Run]) -> Iterable[tuple[float, float]]:
    """Return the share of runs that end at each age; a run that left early leaves its share to the later ones."""
    known = sorted((run.running_at, True) if run.ended_at is None else (run.ended_at, False) for run in runs)
    left = 1.0
    for position, (age, is_running) in enumerate(known):
        if not is_running:
            share = left / (len(known) - position)
            left -= share
            yield max(age, 0.1), share


def _spread(ending: list[float], age: float, spread: float, weight: float) -> None:
    """Spread a run's end around its age: log-normal, cut off at three standard deviations."""
    age = min(age, HORIZON)
    first = bisect_left(AGES, age * math.exp(-3 * spread))
    last = min(bisect_left(AGES, age * math.exp(3 * spread)), len(AGES) - 1)
    below = 0.0
    for index in range(first, last + 1):
        z = math.log(max(AGES[index], 1e-9) / age) / spread
        share = 1.0 if index == last else (1 + math.erf(z / math.sqrt(2))) / 2
        ending[index] += weight * (share - below)
        below = share


def _spread_on(ending: list[float], age: float, weight: float) -> None:
    """Spread ends from an age to the horizon: as likely between 60 and 120 s as between 120 and 240 s."""
    age = min(age, AGES[-2])
    ages = [age, *AGES[bisect_right(AGES, age) :]]
    whole = math.log(AGES[-1] / age)
    for index, (low, high) in enumerate(pairwise(ages), start=len(AGES) - len(ages) + 1):
        ending[index] += weight * math.log(high / low) / whole


def _processing(runs: Sequence[Run]) -> float:
    """Return how long the shortest runs took beside the queue: one in twenty is shorter."""
    known = [(run.ended_at, run.queued) for run in runs]
    times = sorted(at - max(0.0, queued) for at, queued in known if at is not None and queued is not None)
    return max(0.0, times[len(times) // 20]) if len(times) >= ENOUGH else 0.0
