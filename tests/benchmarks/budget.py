"""Real workers and a real broker under a request limit: ``python -m tests.benchmarks.budget``.

Prints what a limit of 60 requests a minute carries, and exits with 1 if that is less than is promised; with ``--bulk``
the request history takes the place of polls and results, of about 100 runs at once.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.carrying import Carried, carried, send
from tests.support.deployment import Service, deployed
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.database.schema import upgrade
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


@dataclass(frozen=True)
class Promise:
    """What a limit carries: jobs a minute for each 60 requests, requests a job, and how much of the limit is used."""

    jobs_a_minute: float
    requests_a_job: float
    used: float
    refused: float = 0.01

    def broken(self, found: Carried) -> Sequence[str]:
        """Say what does not hold."""
        least_jobs = self.jobs_a_minute * found.limit / 60
        kept = {
            f"at least {least_jobs:.1f} jobs a minute": found.jobs_a_minute >= least_jobs,
            f"at most {self.requests_a_job} requests a job": found.requests_a_job <= self.requests_a_job,
            f"more than {self.used:.0%} of the limit used": found.used > self.used,
            f"less than {self.refused:.0%} refused": found.refused < self.refused,
        }
        return [what for what, is_kept in kept.items() if not is_kept]


SINGLE = Promise(jobs_a_minute=21, requests_a_job=2.6, used=0.9)
BULK = Promise(jobs_a_minute=42, requests_a_job=1.3, used=0)
"""With the bulk look jobs are limited by their submits alone, and its pages by nothing."""


@contextmanager
def limited(limit: int, seed: int, workers: int, logs: Path, **more: str) -> Iterator[tuple[Service, Simulator]]:
    """Give a deployment whose vendor allows so many requests a minute, polls included."""
    vendor = {"run_time": RUN_TIME, "requests_per_minute": limit, "credits": 1000, "seed": seed}
    settings = {"SAM3D_REQUESTS_PER_MINUTE": str(limit), "SAM3D_EXPECTED_RUN": "31.7", "SAM3D_SWEEP_INTERVAL": "15"}
    settings |= more
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
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bulk", action="store_true", help="with the bulk look, and 100 runs at once")
    parser.add_argument("--logs", type=Path, default=None, help="keep the processes' logs here")
    asked = parser.parse_args()
    jobs, limit, promise = (500, 120, BULK) if asked.bulk else (100, 60, SINGLE)
    jobs, limit = asked.jobs or jobs, asked.limit or limit
    logs = asked.logs or Path(tempfile.mkdtemp(prefix="sam3d-budget-"))
    logs.mkdir(parents=True, exist_ok=True)
    more = {"SAM3D_BULK_LOOK": "on"} if asked.bulk else {}
    with limited(limit, asked.seed, asked.workers, logs, **more) as (service, simulator):
        send(service, jobs)
        found = carried(service, simulator, jobs, limit, within=1800)
    print(found)
    broken = promise.broken(found)
    print("as promised" if not broken else f"promised: {', '.join(broken)}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
