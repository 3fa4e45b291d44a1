"""What jobs write to the database's log: ``python -m tests.benchmarks.wal``.

Real workers, a scheduler and a broker, and an object store. Prints the bytes of write-ahead log a job, by table and
index, and exits with 1 if they are more than is promised.
"""

import argparse
import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.deployment import Service, deployed
from tests.support.judge import tiny_image
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from tests.support.written import Log
from worker.client import Client
from worker.database.schema import upgrade
from worker.intake.prepare import prepare_request
from worker.simulator import Simulator, SimulatorSettings

PROMISED = 10_000
"""Bytes a job."""

AS_IN_PRODUCTION = (
    "full_page_writes = on",
    "wal_compression = on",
    "autovacuum = off",
    "checkpoint_timeout = '1h'",
    "max_wal_size = '8GB'",
)
"""As docs/operations.md recommends, but for checkpoints, one in an hour, and autovacuum, none: what both write depends
on when they come.
"""


@contextmanager
def storing(run_seconds: float, logs: Path) -> Iterator[tuple[Service, str]]:
    """Give a deployment with an object store, and its database's address."""
    vendor = SimulatorSettings.model_validate({"run_time": run_seconds, "credits": 1000})
    with PrivatePostgres() as postgres, PrivateRabbit() as rabbitmq, Simulator(vendor) as simulator, Zygote() as zygote:
        for setting in AS_IN_PRODUCTION:
            postgres.execute(f"ALTER SYSTEM SET {setting}")
        postgres.execute("SELECT pg_reload_conf()")
        url = postgres.create_database("wal")
        upgrade(url)
        more = {"SAM3D_STORE_URL": (logs / "store").as_uri(), "SAM3D_SWEEP_INTERVAL": "15", "SAM3D_SWEEP_GRACE": "30"}
        with deployed(rabbitmq.create_vhost("wal"), url, simulator, logs, zygote, **more) as service:
            service.start("worker", "worker", "--concurrency", "8")
            service.start("scheduler", "scheduler")
            wait_until(lambda: "worker_ready" in service.log_of("worker"), "the worker consumes")
            yield service, url


def run_jobs(service: Service, url: str, jobs: int, photo: bytes | str) -> None:
    """Send requests at once and wait until all have succeeded and are announced."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        before = _done(connection)
        with Client(service.settings) as client:
            for number in range(jobs):  # Each makes another model.
                client.send(prepare_request(photo, seed=before + number, metadata={"order": 12345}))
        wait_until(lambda: _done(connection) - before == jobs, f"{jobs} jobs have succeeded", 600)


def _done(connection: psycopg.Connection[tuple[int]]) -> int:
    query = "SELECT count(*) FROM events WHERE type LIKE '%.succeeded' AND published_at IS NOT NULL"
    [count] = connection.execute(query).fetchone() or [0]
    return count


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--warm", type=int, default=400, help="jobs before those that are counted")
    parser.add_argument("--run", type=float, default=1, help="seconds that a run takes")
    parser.add_argument("--photo", type=Path, help="in place of one of a few hundred bytes")
    asked = parser.parse_args()
    photo = asked.photo.read_bytes() if asked.photo else base64.b64decode(tiny_image())
    logs = Path(tempfile.mkdtemp(prefix="sam3d-wal-"))
    with storing(asked.run, logs) as (service, url), Log(url) as log:
        run_jobs(service, url, asked.warm, photo)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        log.restart()
        run_jobs(service, url, asked.jobs, photo)
        found = log.written()
    print(f"{asked.jobs} jobs after {asked.warm} others, a photo of {len(photo)} bytes each:")
    print(found.each(asked.jobs))
    sys.exit((found.bytes + found.images) / asked.jobs > PROMISED)


if __name__ == "__main__":
    main()
