"""Simulated runs, and what it takes to see them end: by a plan learnt meanwhile, by the optimum, by a fixed rhythm.

Everything random comes from the generator that is passed in; there is no clock and no broker, only how late it is.
"""

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from worker.broker.topology import ladder_step
from worker.database.due import SLACK
from worker.rules.lifecycle import NOW
from worker.rules.plan import Plan, make_plan
from worker.rules.survival import AGES, HORIZON, Curve, Run, learn

EXPECTED = 31.7
"""What the vendor publishes, s: all that is known of the first run."""

RATE = 0.5
"""Submits a second, on average."""

WINDOW, REFRESH = 400, 10
"""Ended runs that are learnt from, and after how many new ones of them."""

LATENCY = (0.005, 0.03)
"""What the broker and a worker add to each wait, s."""

LEARNT_FROM = 200_000
"""Runs that the optimum knows beforehand, and as many others on which it is judged."""

Distribution = Callable[[random.Random], float]


def log_normal(mean: float, variation: float = 0.25) -> Distribution:
    """Return run times of this mean and coefficient of variation."""
    variance = math.log(1 + variation**2)
    middle, spread = math.log(mean) - variance / 2, math.sqrt(variance)
    return lambda rng: rng.lognormvariate(middle, spread)


def main(rng: random.Random) -> float:
    """Draw a run as the vendor's are: about 31.7 s, and one in twenty waits for a cold start."""
    cold_start = rng.uniform(60, 180) if rng.random() < 0.05 else 0.0
    return _usual(rng) + cold_start


_usual = log_normal(31.72)


def bimodal(rng: random.Random) -> float:
    """Draw a run of one of two kinds that nothing tells apart."""
    return rng.gauss(20, 2) if rng.random() < 0.6 else rng.gauss(60, 5)


def uniform(rng: random.Random) -> float:
    """Draw a run of which little can be known."""
    return rng.uniform(10, 60)


@dataclass(frozen=True)
class Score:
    """What it took to see a run end, on average: polls, and the seconds until the poll that saw it."""

    polls: float
    delay: float

    def cost(self, price: float) -> float:
        """Return the seconds that it cost where a poll is worth ``price`` seconds."""
        return price * self.polls + self.delay


@dataclass
class Job:
    """A simulated job: the truth, and what polls have seen of it."""

    submitted_at: float
    takes: float
    running_at: float = 0.0
    over_by: float | None = None
    polls: int = 0

    def poll(self, age: float) -> None:
        """Look at the run once."""
        self.polls += 1
        if age < self.takes:
            self.running_at = age
        else:
            self.over_by = age

    @property
    def run(self) -> Run:
        """What a worker knows of the run; the vendor tells how long one took that is over."""
        return Run(self.running_at, self.over_by, told=None if self.over_by is None else self.takes)

    @property
    def score(self) -> Score:
        """What it took to see the end."""
        return Score(self.polls, (self.over_by or math.inf) - self.takes)


@dataclass
class Learner:
    """A worker's knowledge: a plan that is made again after every few ends."""

    price: float
    jobs: Sequence[Job]
    in_flight: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)
    new: int = 0
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.learn()

    def learn(self) -> None:
        """Make the plan from the last runs that ended and from those in flight, newest submit first."""
        self.ended, self.new = sorted(self.ended)[-WINDOW:], 0
        recent = sorted([*self.ended, *self.in_flight], reverse=True)
        curve = learn([self.jobs[number].run for number in recent], EXPECTED)
        self.plan = make_plan(curve, timedelta(seconds=self.price))

    def see(self, number: int, age: float) -> None:
        """Poll a job that was submitted, and learn from it in time."""
        job = self.jobs[number]
        job.poll(age)
        self.in_flight.add(number)
        if job.over_by is not None:
            self.in_flight.remove(number)
            self.ended.append(number)
            self.new += 1
        if self.new >= REFRESH:
            self.learn()


def submitted(draws: Iterable[float], rng: random.Random) -> Sequence[Job]:
    """Submit a job for each run time, at random times."""
    jobs, now = [], 0.0
    for takes in draws:
        now += rng.expovariate(RATE)
        jobs.append(Job(now, takes))
    return jobs


def run_online(draws: Iterable[float], price: float, rng: random.Random) -> Sequence[Job]:
    """Poll each run until it is seen to be over, by plans that are learnt from nothing on the way."""
    jobs = submitted(draws, rng)
    learner = Learner(price, jobs)
    due = [(job.submitted_at, number) for number, job in enumerate(jobs)]  # In order, so a heap.
    while due:
        now, number = heapq.heappop(due)
        age = now - jobs[number].submitted_at
        if age > 0:
            learner.see(number, age)
        if jobs[number].over_by is None:
            delay = learner.plan.next(timedelta(seconds=age))
            heapq.heappush(due, (now + wait(delay, rng), number))
    return jobs


def wait(delay: timedelta, rng: random.Random) -> float:
    """Return how long a message waits in the broker, s: step by step of the ladder, each a little late."""
    waited = NOW
    while delay - waited > SLACK or not waited:
        waited += timedelta(seconds=ladder_step(delay - waited) + rng.uniform(*LATENCY))
    return waited.total_seconds()


def mean(scores: Sequence[Score]) -> Score:
    """Return what it took on average."""
    count = len(scores)
    return Score(sum(score.polls for score in scores) / count, sum(score.delay for score in scores) / count)


class Oracle:
    """One who knows the distribution, and whose messages are never late."""

    def __init__(self, draw: Distribution, rng: random.Random, count: int = LEARNT_FROM) -> None:
        ending = [0.0] * len(AGES)
        for _ in range(count):
            ending[min(bisect_left(AGES, draw(rng)), len(AGES) - 1)] += 1
        self.curve = Curve(tuple(ending))
        self.fresh = [draw(rng) for _ in range(count)]

    def optimum(self, price: float) -> Score:
        """Return the least that other runs of the distribution cost."""
        plan, looks = make_plan(self.curve, timedelta(seconds=price)), [0.0]
        while looks[-1] < AGES[-1]:
            looks.append(plan.looks[bisect_left(AGES, looks[-1])])
        return self.keep_to(looks[1:])

    def keep_to(self, looks: Sequence[float]) -> Score:
        """Return what it takes to look at these ages, whatever is known."""
        seen = [(bisect_left(looks, takes), takes) for takes in self.fresh]
        polls, delay = sum(index + 1 for index, _ in seen), sum(looks[index] - takes for index, takes in seen)
        return Score(polls / len(seen), delay / len(seen))


def rhythm(first: float, factor: float = 1.0, longest: float = math.inf) -> Sequence[float]:
    """Return the ages at which a rhythm looks: each wait longer than the one before by a factor, up to the longest."""
    looks, gap = [first], first
    while looks[-1] < HORIZON:
        gap = min(gap * factor, longest)
        looks.append(looks[-1] + gap)
    return looks
