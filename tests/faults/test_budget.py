"""Workers that share one request budget: together they stay within it, and one that dies leaves nothing behind."""

from datetime import datetime, timedelta
from typing import LiteralString

import psycopg

from tests.benchmarks.carrying import LIMITED
from tests.support.deployment import Service, start_worker
from tests.support.judge import Judge
from tests.support.waiting import wait_until
from worker.rules.budget import LATE, slot_of
from worker.simulator import Simulator

LIMIT = 240
JOBS = 20
WINDOW = timedelta(seconds=10)
WORKERS = ("worker-1", "worker-2", "worker-3", "worker-4")


def test_four_workers_share_one_budget(deployment: Service, judge: Judge, simulator: Simulator) -> None:
    """In no ten seconds do they make more requests than one process may; killing one does not leak what it had."""
    simulator.update(requests_per_minute=LIMIT)
    limited = {"SAM3D_REQUESTS_PER_MINUTE": str(LIMIT)}
    deployment.start("scheduler", "scheduler", **limited)
    for name in WORKERS:
        start_worker(deployment, name, **limited)
    judge.submit(JOBS)
    wait_until(lambda: _count(deployment, "state = 'succeeded'") > JOBS / 4, "a quarter has succeeded")
    deployment.processes["worker-1"].kill()
    wait_until(lambda: _count(deployment, "state = 'succeeded'") == JOBS, "all have succeeded", within=120)

    assert _most_within(simulator, WINDOW) <= (WINDOW + LATE) / slot_of(LIMIT) + 2
    assert "429" not in {answer for answers in simulator.requests()["calls"].values() for answer in answers}
    assert _ask(deployment, "SELECT next_slot_at <= sam3d_now() + interval '1 second' FROM accounts")
    assert _count(deployment, "slot_at IS NOT NULL") == 0
    assert len(simulator.ledger()) == JOBS


def _count(deployment: Service, which: LiteralString) -> int:
    return _ask(deployment, f"SELECT count(*)::int FROM jobs WHERE {which}")


def _ask(deployment: Service, query: LiteralString) -> int:
    with psycopg.connect(deployment.settings.database.url.replace("+psycopg", "")) as connection:
        row = connection.execute(query).fetchone()
    assert row
    return int(row[0])


def _most_within(simulator: Simulator, window: timedelta) -> int:
    """Count the requests of the busiest window of such a length."""
    log = simulator.requests(with_log=True)["log"]
    times = sorted(datetime.fromisoformat(entry["at"]) for entry in log if entry["call"] in LIMITED)
    return max(sum(begin <= at < begin + window for at in times) for begin in times)
