"""Real workers and a real broker under a request limit: ``python -m tests.benchmarks.budget``.

Prints what a limit of 60 requests a minute carries, and exits with 1 if that is less than is promised.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.conftest import Service, deployed
from tests.benchmarks.carrying import carried, send
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from tests.services.zygote import Zygote
from tests.waiting import wait_until
from worker.database import upgrade
from worker.simulator import Simulator, SimulatorSettings

RUN_TIME = {
    "kind": "lognormal",
    "mean_seconds": 31.72,
    "variation": 0.25,
    "cold_share": 0.05,
    "cold_low_seconds": 60,
    "cold_high_seconds": 180,
}
"""How long runs take; the vendor publishes the mean."""

JOBS_A_MINUTE, USED, REFUSED = 14, 0.9, 0.01
"""What is promised of 60 requests a minute."""


@contextmanager
def limited(limit: int, seed: int, workers: int, logs: Path) -> Iterator[tuple[Service, Simulator]]:
    """Give a deployment whose vendor allows so many requests a minute, polls included."""
    vendor = {"run_time": RUN_TIME, "requests_per_minute": limit, "credits": 1000, "seed": seed}
    settings = {"SAM3D_REQUESTS_PER_MINUTE": str(limit), "SAM3D_EXPECTED_RUN": "31.7", "SAM3D_SWEEP_INTERVAL": "15"}
    with (
        PrivatePostgres() as postgres,
        PrivateRabbit() as rabbitmq,
        Simulator(SimulatorSettings.model_validate(vendor)) as simulator,
        Zygote() as zygote,
    ):
        url = postgres.create_database("limited")
        upgrade(url)
        with deployed(rabbitmq.create_vhost("limited"), url, simulator, logs, zygote, **settings) as service:
            names = [f"worker-{number}" for number in range(workers)]
            for name in names:
                service.start(name, "worker", "--concurrency", "4")
            service.start("scheduler", "scheduler")
            wait_until(lambda: all("worker_ready" in service.log_of(name) for name in names), "the workers consume")
            yield service, simulator


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--logs", type=Path, default=None, help="keep the processes' logs here")
    asked = parser.parse_args()
    logs = asked.logs or Path(tempfile.mkdtemp(prefix="sam3d-budget-"))
    logs.mkdir(parents=True, exist_ok=True)
    with limited(asked.limit, asked.seed, asked.workers, logs) as (service, simulator):
        send(service, asked.jobs)
        found = carried(service, simulator, asked.jobs, asked.limit, within=1800)
    print(found)
    share = asked.limit / 60
    is_kept = found.jobs_a_minute >= JOBS_A_MINUTE * share and found.used > USED and found.refused < REFUSED
    print(
        "as promised" if is_kept else f"promised: {JOBS_A_MINUTE * share:.1f} jobs a minute, {USED:.0%}, {REFUSED:.0%}"
    )
    sys.exit(not is_kept)


if __name__ == "__main__":
    main()
