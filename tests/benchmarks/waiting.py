"""What many jobs that wait for a small budget cost: ``python -m tests.benchmarks.waiting``.

Prints the CPU that workers, scheduler and database take, with and without them, and exits with 1 if the workers take
2 % of a core for their sake.
"""

import argparse
import base64
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg

from tests.benchmarks.budget import limited
from tests.support.deployment import Service
from tests.support.judge import tiny_image

PROMISED = 0.02
"""Of a core."""

FEW, LIMIT = 60, 60


def wait_as_rows(service: Service, jobs: int) -> None:
    """Add jobs that were accepted and wait for the budget, each with a photo."""
    photo = base64.b64decode(tiny_image())
    with psycopg.connect(service.settings.database.url.replace("+psycopg", "")) as connection:
        connection.execute(
            "WITH added AS (INSERT INTO jobs (id, state, fingerprint, sweep_at) SELECT gen_random_uuid(), 'accepted',"
            " 'x', now() FROM generate_series(1, %s) RETURNING id) INSERT INTO inputs (job_id, name, content)"
            " SELECT id, 'image', %s FROM added",
            (jobs, photo),
        )


def cpu_of(service: Service, seconds: float) -> Mapping[str, float]:
    """Measure the share of a core that each kind of process takes."""
    before = _spent(service)
    time.sleep(seconds)
    return {name: (spent - before[name]) / seconds for name, spent in _spent(service).items()}


def _spent(service: Service) -> dict[str, float]:
    spent = {"workers": 0.0, "scheduler": 0.0}
    for name, started in service.processes.items():
        times = psutil.Process(started.pid).cpu_times()
        spent["scheduler" if name == "scheduler" else "workers"] += times.user + times.system
    return spent


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    found = {}
    for jobs in (FEW, asked.jobs):
        logs = Path(tempfile.mkdtemp(prefix="sam3d-waiting-"))
        with limited(LIMIT, 7, asked.workers, logs) as (service, _):
            wait_as_rows(service, jobs)
            time.sleep(60)  # Until the first runs are polled.
            found[jobs] = cpu_of(service, asked.seconds)
        shares = ", ".join(f"{name} {share:.2%}" for name, share in found[jobs].items())
        print(f"{jobs} jobs wait for {LIMIT} requests a minute, of a core: {shares}", flush=True)
    cost = found[asked.jobs]["workers"] - found[FEW]["workers"]
    print(f"what waits costs the workers {cost:.2%} of a core")
    sys.exit(cost >= PROMISED)


if __name__ == "__main__":
    main()
