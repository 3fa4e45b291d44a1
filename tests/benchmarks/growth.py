"""What a job costs where many have ended: ``python -m tests.benchmarks.growth --old 1000000``.

Prints the speed of jobs on a database that is empty and on one that has so many old jobs and some that wait, and how
the two compare.
"""

import argparse
import tempfile
from pathlib import Path

import psycopg

from tests.benchmarks.load import Bench, Fill, Load, Speed, bench, deployed, measured

_OLD = """
INSERT INTO jobs (id, state, fingerprint, request_id, accepted_at, submitted_at, completed_at, finished_at)
SELECT id, 'succeeded', repeat('f', 64), gen_random_uuid(), at, at, at, at
FROM generate_series(1, %(old)s) AS number,
LATERAL (SELECT gen_random_uuid() AS id, sam3d_now() - interval '1 day' - number * interval '2 s' AS at) AS made
"""
_LIVE = """
INSERT INTO jobs (id, state, fingerprint, accepted_at, due_at, sweep_at)
SELECT gen_random_uuid(), 'accepted', repeat('f', 64), sam3d_now(), at, at
FROM generate_series(1, %(live)s), LATERAL (SELECT sam3d_now() + interval '9 minutes' AS at) AS later
"""
_SUBMISSIONS = """
INSERT INTO submissions (token, job_id, worker, intended_at, answered_at, verdict, request_id, run, inputs)
SELECT gen_random_uuid(), id, 'x', accepted_at, accepted_at, 'accepted', request_id, replace(request_id, '-', ''), '{}'
FROM jobs WHERE request_id IS NOT NULL
"""
_EVENTS = """
INSERT INTO events (id, job_id, type, payload, occurred_at, published_at)
SELECT sam3d_event_id(finished_at), id, 'sam3d.reconstruction.succeeded', '{}', finished_at, finished_at
FROM jobs WHERE state = 'succeeded'
"""


def filled(old: int, live: int) -> Fill:
    """Return what puts so many jobs that have ended, with their submits and events, and so many that wait."""

    def fill(url: str) -> None:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")  # Triggers would look at each row.
            connection.execute(_OLD, {"old": old})
            connection.execute(_LIVE, {"live": live})
            connection.execute(_SUBMISSIONS)
            connection.execute(_EVENTS)
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    return fill


def _speed(servers: Bench, logs: Path, name: str, jobs: int, has: Fill) -> Speed:
    with deployed(servers, logs, name, {}, has=has) as mine:
        before = mine.succeeded()
        found = measured(
            Load(name, jobs, lambda: mine.succeeded() - before, mine.send, mine.pids, servers.run_seconds, mine.work)
        )
    print(found, flush=True)
    return found


def main() -> None:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=200_000)
    parser.add_argument("--live", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2000)
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="sam3d-growth-"))
    with bench(run_seconds=3.0) as servers:
        empty = _speed(servers, logs, "empty", asked.jobs, filled(0, 0))
        full = _speed(servers, logs, f"after {asked.old}", asked.jobs, filled(asked.old, asked.live))
    cpu = sum(full.cpu.values()) / sum(empty.cpu.values())
    log = full.counted["bytes of WAL"] / empty.counted["bytes of WAL"]
    print(f"with {asked.old} old jobs and {asked.live} that wait: {cpu:.2f} of the CPU, {log:.2f} of the log's bytes")


if __name__ == "__main__":
    main()
