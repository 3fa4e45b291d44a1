"""What it takes to see runs end: polls and delay of what is learnt, beside the optimum and fixed rhythms.

``python -m tests.benchmarks.polling --jobs 20000 --seed 7 --figure docs/polling.svg``: exits with 1 if a bound does
not hold. Nothing is read from the clock, so that the same numbers come out on every machine.
"""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import runs
from tests.benchmarks.figure import Frontier, draw
from tests.benchmarks.runs import Oracle, Score, log_normal, mean, rhythm, run_online
from worker.rules.plan import PROMPT

PRICES = (PROMPT.total_seconds(), 2.0)
"""What a poll is worth, in seconds of a result's delay."""

DISTRIBUTIONS = {"main": runs.main, "bimodal": runs.bimodal, "uniform": runs.uniform}

RHYTHMS = {
    "every second": rhythm(1),
    "every 5 s": rhythm(5),
    "1 s x 1.5 up to 10 s": rhythm(1, 1.5, 10),
}

BOUNDS = {("main", 0.5): Score(4.6, 2.3), ("main", 2.0): Score(2.5, 4.5)}
"""The most polls, and the most seconds until an end is seen."""

MOST_ABOVE_OPTIMUM = 1.1
"""The most that runs of an odd shape cost, in optima."""

BEFORE, AFTER, STRUCK = 500, 300, slice(530, 630)
"""Jobs before run times change and after it, and those that are judged: 31 to 130 after it."""

SHIFTS = ((32, 60), (32, 16))
MOST_AFTER_SHIFT = 1.25
SHIFT_SEEDS = 5

FIGURE_PRICES = (1.0, 4.0, 8.0)
"""More prices for the figure, simulated with a quarter of the jobs."""


@dataclass(frozen=True)
class Row:
    """What was learnt, and what was there to be known."""

    name: str
    price: float
    ours: Score
    optimum: Score

    @property
    def ratio(self) -> float:
        """What was learnt costs so many optima."""
        return self.ours.cost(self.price) / self.optimum.cost(self.price)

    @property
    def broken(self) -> Sequence[str]:
        """The bounds that do not hold."""
        bound = BOUNDS.get((self.name, self.price))
        if bound is None:
            return _above(f"{self.name} at {self.price:g} s: cost / optimum", self.ratio, MOST_ABOVE_OPTIMUM)
        polls = _above(f"{self.name} at {self.price:g} s: polls", self.ours.polls, bound.polls)
        return [*polls, *_above(f"{self.name} at {self.price:g} s: delay", self.ours.delay, bound.delay)]


def _above(what: str, value: float, most: float) -> Sequence[str]:
    return [f"{what} {value:.3f}, at most {most:g}"] if value > most else []


def learnt(name: str, price: float, jobs: int, seed: int) -> Score:
    """Return what it takes to see jobs end that are learnt from as they come."""
    rng = random.Random(f"{seed} {name} {price:g}")
    draws = [DISTRIBUTIONS[name](rng) for _ in range(jobs)]
    return mean([job.score for job in run_online(draws, price, rng)])


def after_shift(before: float, after: float, seed: int) -> float:
    """Return what the jobs cost, in optima of the new run times, that come soon after these have changed."""
    price, rng = PRICES[0], random.Random(f"{seed} {before:g} {after:g}")
    times = [log_normal(before)] * BEFORE + [log_normal(after)] * AFTER
    jobs = run_online([time(rng) for time in times], price, rng)
    optimum = Oracle(log_normal(after), rng, 50_000).optimum(price)
    return mean([job.score for job in jobs[STRUCK]]).cost(price) / optimum.cost(price)


def show_rows(rows: Sequence[Row]) -> None:
    """Print what was learnt beside what was there to be known."""
    print(f"\n{'runs':10}{'price':>6} {'polls':>8}{'delay':>8} {'optimum':>10}{'delay':>8} {'cost / optimum':>16}")
    for row in rows:
        ours, optimum = (
            f"{row.ours.polls:8.2f}{row.ours.delay:8.2f}",
            f"{row.optimum.polls:10.2f}{row.optimum.delay:8.2f}",
        )
        print(f"{row.name:10}{row.price:4g} s {ours} {optimum} {row.ratio:16.3f}", flush=True)


def show_rhythms(scores: Mapping[str, Score], optima: Sequence[Row]) -> None:
    """Print what rhythms take to see runs of the main distribution end."""
    heads = "".join(f"{f'/ optimum at {row.price:g} s':>22}" for row in optima)
    print(f"\n{'rhythm (main)':24}{'polls':>8}{'delay':>8}{heads}")
    for name, score in scores.items():
        ratios = "".join(f"{score.cost(row.price) / row.optimum.cost(row.price):22.2f}" for row in optima)
        print(f"{name:24}{score.polls:8.2f}{score.delay:8.2f}{ratios}")


def show_shifts(seed: int) -> Sequence[str]:
    """Print what it costs that run times change, and return the bounds that do not hold."""
    print("\nrun times change      cost / optimum, jobs 31 to 130 after it")
    broken: list[str] = []
    for before, after in SHIFTS:
        ratios = [after_shift(before, after, seed + number) for number in range(SHIFT_SEEDS)]
        ratio, seeds = sum(ratios) / len(ratios), " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{before} s -> {after} s {ratio:17.3f}   seeds {seeds}", flush=True)
        broken += _above(f"{before} s -> {after} s: cost / optimum", ratio, MOST_AFTER_SHIFT)
    return broken


def show_learnt(oracles: Mapping[str, Oracle], jobs: int, seed: int) -> Sequence[Row]:
    """Print what is learnt of each distribution, and what rhythms take; return the former."""
    pairs = [(name, price) for name in DISTRIBUTIONS for price in PRICES]
    rows = [Row(name, price, learnt(name, price, jobs, seed), oracles[name].optimum(price)) for name, price in pairs]
    show_rows(rows)
    rhythms = {name: oracles["main"].keep_to(looks) for name, looks in RHYTHMS.items()}
    show_rhythms(rhythms, [row for row in rows if row.name == "main"])
    return rows


def main() -> None:
    """Simulate, print, judge, and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--figure", type=Path, help="draw polls against delay into this file")
    asked = parser.parse_args()
    print(
        f"{asked.jobs} jobs of each kind, learnt from nothing, seed {asked.seed}; the price of a poll and delays in s"
    )

    oracles = {name: Oracle(draw, random.Random(f"{asked.seed} {name}")) for name, draw in DISTRIBUTIONS.items()}
    rows = show_learnt(oracles, asked.jobs, asked.seed)
    broken = [*(line for row in rows for line in row.broken), *show_shifts(asked.seed)]
    if asked.figure:
        more = {price: learnt("main", price, asked.jobs // 4, asked.seed) for price in FIGURE_PRICES}
        draw(
            asked.figure,
            Frontier.of(oracles["main"], {row.price: row.ours for row in rows if row.name == "main"} | more),
        )
    print("\n" + "\n".join(f"Does not hold: {line}" for line in broken) if broken else "\nAll bounds hold.")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
