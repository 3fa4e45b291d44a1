"""What real workers make of a request limit: jobs a minute, how much of it is used, and what was refused."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import psycopg

from tests.support.deployment import Service
from worker.client import Client
from worker.intake.prepare import prepare_request
from worker.simulator import Simulator

PHOTO = Path("worker/photos/cat.png")
MINUTE = timedelta(minutes=1)
LIMITED = {"submit", "status", "result", "credits"}
"""The simulator's calls that count against its limit."""

COUNTED = LIMITED | {"history"}
"""Those that a job is said to take."""

FIRST, LAST = 0.1, 0.9
"""Of the jobs to end, between which everything is measured: the first polls and the last ones are another matter."""


@dataclass(frozen=True)
class Carried:
    """What came of some jobs under a limit of requests a minute."""

    jobs: int
    limit: int
    ends: Sequence[datetime]
    requests: Sequence[tuple[datetime, str, str]]

    @property
    def between(self) -> tuple[datetime, datetime]:
        """The ends between which is measured."""
        return self.ends[round(self.jobs * FIRST) - 1], self.ends[round(self.jobs * LAST) - 1]

    @property
    def jobs_a_minute(self) -> float:
        """How many jobs ended."""
        first, last = self.between
        return (round(self.jobs * LAST) - round(self.jobs * FIRST)) / ((last - first) / MINUTE)

    @property
    def used(self) -> float:
        """Which share of the limit was used."""
        first, last = self.between
        made = sum(first < at <= last for at, call, _ in self.requests if call in LIMITED)
        return made / (self.limit * ((last - first) / MINUTE))

    @property
    def refused(self) -> float:
        """Which share of the requests was answered with 429."""
        return sum(answer == "429" for _, _, answer in self.requests) / len(self.requests)

    @property
    def most_in_a_minute(self) -> int:
        """How many requests came within one minute of the vendor's clock at the most."""
        limited = (at.replace(second=0, microsecond=0) for at, call, _ in self.requests if call in LIMITED)
        return max(Counter(limited).values())

    @property
    def requests_a_job(self) -> float:
        """How many requests a job took, pages of the history included."""
        return len(self.requests) / self.jobs

    @property
    def most_at_once(self) -> int:
        """How many runs were under way at once at the most, as their submits and ends tell."""
        began = [(at, 1) for at, call, answer in self.requests if call == "submit" and answer == "200"]
        ended = [(at, -1) for at in self.ends]
        return max(accumulate(step for _, step in sorted([*began, *ended])))

    @property
    def by_call(self) -> Mapping[str, float]:
        """How many requests of each kind a job took."""
        counts = Counter(call for _, call, _ in self.requests)
        return {call: counts[call] / self.jobs for call in sorted(counts)}

    def __str__(self) -> str:
        """Print it for a person."""
        calls = ", ".join(f"{count:.2f} {call}" for call, count in self.by_call.items())
        return (
            f"{self.jobs} jobs at {self.limit} requests a minute: {self.jobs_a_minute:.1f} jobs a minute, "
            f"{self.used:.1%} of the limit used, {self.refused:.2%} refused, "
            f"{self.most_in_a_minute} in a minute at the most, {self.most_at_once} runs at once; "
            f"a job takes {self.requests_a_job:.2f}: {calls}"
        )


def send(service: Service, jobs: int) -> None:
    """Send so many requests at once."""
    with Client(service.settings) as client:
        for _ in range(jobs):
            client.send(prepare_request(PHOTO))


def carried(service: Service, simulator: Simulator, jobs: int, limit: int, within: float) -> Carried:
    """Wait until all jobs have succeeded, and read what that took.

    Raises:
        AssertionError: they did not within so many seconds.
    """
    ends_at = time.monotonic() + within
    with psycopg.connect(service.settings.database.url.replace("+psycopg", ""), autocommit=True) as connection:
        while len(ends := [at for (at,) in connection.execute(_ENDS)]) < jobs:
            assert time.monotonic() < ends_at, f"{len(ends)} of {jobs} jobs succeeded within {within:.0f} s"
            time.sleep(1)
    log: list[dict[str, Any]] = simulator.requests(with_log=True)["log"]
    made = [
        (datetime.fromisoformat(entry["at"]), str(entry["call"]), str(entry["answer"]))
        for entry in log
        if entry["call"] in COUNTED
    ]
    return Carried(jobs, limit, ends, made)


_ENDS = "SELECT finished_at FROM jobs WHERE state = 'succeeded' ORDER BY finished_at"
