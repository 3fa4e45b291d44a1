"""What a job writes to the database's log: each byte of it goes to disk, to replicas and into every backup."""

from base64 import b64decode
from collections import deque
from pathlib import Path
from uuid import uuid4

from tests.support.judge import tiny_image
from tests.support.written import Log
from worker.app import App, create_app
from worker.database.engine import transaction
from worker.database.tables import metadata
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.work.executor import execute

JOBS = 30
MOST = 9_000
"""Bytes a job, page images aside; `python -m tests.benchmarks.wal` has the figures by table and index."""


def test_a_job_writes_little_to_the_log(app: App, migrated_url: str, tmp_path: Path) -> None:
    """One that is submitted, polled once and fetched, with a small photo and a store for its model."""
    stored = create_app(app.services.settings.having(SAM3D_STORE_URL=(tmp_path / "store").as_uri()))
    try:
        _leave_alone(stored)
        _run(stored, JOBS)
        with Log(migrated_url) as log:
            _run(stored, JOBS)
            found = log.written()
    finally:
        stored.close()
    assert found.bytes / JOBS < MOST, found.each(JOBS)
    in_place, elsewhere = (found.count("jobs", f"Heap {kind}") for kind in ("HOT_UPDATE", "UPDATE"))
    assert in_place >= 1.5 * JOBS, found.each(JOBS)
    assert in_place + elsewhere <= 4 * JOBS, found.each(JOBS)
    assert found.count("events", "Heap UPDATE") <= JOBS, found.each(JOBS)


def _leave_alone(app: App) -> None:
    """Keep autovacuum away, whose own records come whenever it does."""
    with transaction(app.services.engine) as connection:
        for table in metadata.tables:
            connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")


def _run(app: App, jobs: int) -> None:
    photo = b64decode(tiny_image())
    requests = [prepare_request(photo, seed=seed, metadata={"order": 12345}) for seed in range(jobs)]
    going = deque(accept(app.services, request, derived_job_id("test", uuid4().hex)) for request in requests)
    while going:  # One step of each in turn: they wait for their times together.
        following = going.popleft()
        if following:
            going.append(execute(app.services, following.step, following.ticket))
