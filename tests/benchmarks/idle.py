"""What the scheduler and the database take while nothing goes on: ``python -m tests.benchmarks.idle --live 100000``.

Jobs wait for a small request budget, as many have ended, and there is no worker. Prints the share of a core of each,
and exits with 1 where one takes 2 %.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from tests.benchmarks.growth import filled
from tests.benchmarks.load import Fill, bench, cpu_seconds, deployed

PROMISED = 0.02
"""Of a core."""

SETTLED_SECONDS = 30
"""Until the processes have begun, and what can be released is."""

_WAIT = "UPDATE jobs SET due_at = sam3d_now(), sweep_at = sam3d_now(), waits_for = %s WHERE state = 'accepted'"


def _waiting(old: int, live: int) -> Fill:
    def fill(url: str) -> None:
        filled(old, live)(url)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(_WAIT, ("the request budget",))
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")

    return fill


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=int, default=100_000)
    parser.add_argument("--live", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="sam3d-idle-"))
    limit = {"SAM3D_REQUESTS_PER_MINUTE": "6"}
    has = _waiting(asked.old, asked.live)
    with bench(run_seconds=3.0) as servers, deployed(servers, logs, "idle", limit, workers=(), has=has) as mine:
        time.sleep(SETTLED_SECONDS)
        pids = {"scheduler": mine.pids["worker"], "database": mine.pids["database"]}
        before = cpu_seconds(pids)
        time.sleep(asked.seconds)
        shares = {kind: (now - before[kind]) / asked.seconds for kind, now in cpu_seconds(pids).items()}
    print(f"{asked.live} jobs wait: {', '.join(f'{kind} {share:.2%} of a core' for kind, share in shares.items())}")
    sys.exit(max(shares.values()) >= PROMISED)


if __name__ == "__main__":
    main()
