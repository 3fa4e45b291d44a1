"""Each run of a job is in the ledger, whoever wrote it there: so nobody else gets it."""

from uuid import uuid4

import pytest

from tests.support.requests import rows
from worker.app import App
from worker.database import ownership, reading
from worker.database.engine import DatabaseError, transaction

_ADD = """
INSERT INTO jobs (id, state, fingerprint, request_id) VALUES (gen_random_uuid(), 'processing', '', :run)
RETURNING id::text
"""
_OF_JOB = "SELECT run, verdict FROM submissions WHERE job_id = :id"


def test_a_run_that_no_submit_has_gets_one(app: App) -> None:
    """A person may give a job a run whose submit was answered with another, or was lost."""
    run = str(uuid4())
    [job] = rows(app, _ADD, run=run.upper())
    assert rows(app, _OF_JOB, id=job["id"]) == [{"run": run.replace("-", ""), "verdict": "adopted"}]
    with transaction(app.services.engine) as connection:
        assert ownership.is_claimed(connection, run, str(uuid4()))
        assert not ownership.is_claimed(connection, run, job["id"])
        assert ownership.claimed(connection, [run.replace("-", "")])


def test_no_two_jobs_get_a_run(app: App) -> None:
    """Not even by whoever asks nobody before he writes, nor where another writes it his way."""
    run = str(uuid4())
    rows(app, _ADD, run=run)
    with pytest.raises(DatabaseError, match="uq_submissions_run"):
        rows(app, _ADD, run=run.upper())
    [other] = rows(app, _ADD, run=str(uuid4()))
    with pytest.raises(DatabaseError, match="uq_submissions_run"):
        rows(app, "UPDATE jobs SET request_id = :run WHERE id = :id RETURNING 1", run=run, id=other["id"])


def test_the_newest_are_those_that_began_last(app: App) -> None:
    """Whenever they ended, and whether they did: one that took long is in its place."""
    for number in range(1, 7):
        for began, ended in ((number, number - 0.5), (100 + number, 0), (50 + number, None)):
            add = """
INSERT INTO jobs (id, state, fingerprint, accepted_at, finished_at)
VALUES (gen_random_uuid(), :state, '', sam3d_now() - :began * interval '1 min', sam3d_now() - :ended * interval '1 min')
RETURNING id"""
            rows(app, add, state="succeeded" if ended is not None else "accepted", began=began, ended=ended)
    with transaction(app.services.engine) as connection:
        for limit in (1, 4, 8, 20):
            newest = reading.newest_jobs(connection, None, limit)
            ages = sorted(row["age"].total_seconds() // 60 for row in newest)
            assert ages == [*range(1, 7), *range(51, 57), *range(101, 107)][:limit]
        assert len(reading.newest_jobs(connection, "accepted", 20)) == 6
