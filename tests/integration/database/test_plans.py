"""What is asked again and again reads no table whole, however many jobs have ended."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.asked import ASKED
from worker.database import (
    ownership,
    submissions,
)
from worker.database.engine import Connection, Engine, create_database_engine, transaction
from worker.rules.lifecycle import Verdict

ENDED, LIVE = 30_000, 200
_JOBS = """
INSERT INTO jobs (id, state, fingerprint, request_id, accepted_at, submitted_at, finished_at, error_code)
SELECT gen_random_uuid(), state, repeat('f', 64),
    CASE WHEN state IN ('accepted', 'submitting') THEN NULL ELSE gen_random_uuid() END,
    sam3d_now() - number * interval '1 minute',
    CASE WHEN state NOT IN ('accepted', 'submitting') THEN sam3d_now() - number * interval '1 minute' END,
    CASE WHEN final THEN sam3d_now() - number * interval '1 minute' END, 'x'
FROM generate_series(1, :count) AS number,
LATERAL (SELECT (CAST(:states AS text[]))[1 + number % cardinality(CAST(:states AS text[]))] AS state) AS is_in,
LATERAL (SELECT state IN ('succeeded', 'failed', 'cancelled') AS final) AS ends
"""
_RECORDS = (
    """
INSERT INTO submissions (token, job_id, worker, intended_at, answered_at, verdict, request_id, run, told, inputs)
SELECT gen_random_uuid(), id, 'x', accepted_at, accepted_at, 'accepted', request_id, replace(request_id, '-', ''),
    replace(request_id, '-', ''), '{}'
FROM jobs
""",
    """
INSERT INTO events (id, job_id, type, payload, occurred_at, published_at)
SELECT gen_random_uuid(), id, 'sam3d.reconstruction.' || state, '{}', accepted_at, accepted_at FROM jobs
""",
)


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """Provide a database with many jobs that have ended, and a few that have not."""
    made = create_database_engine(migrated_url, 2)
    with transaction(made) as connection:
        for count, states in ((ENDED, "{succeeded,failed}"), (LIVE, "{accepted,submitting,processing,fetching}")):
            connection.execute(text(_JOBS), {"count": count, "states": states})
        for statement in _RECORDS:
            connection.exec_driver_sql(statement)
        for table in ("jobs", "submissions", "events"):
            connection.exec_driver_sql(f"ANALYZE {table}")
    yield made
    made.dispose()


def test_an_answer_is_compared_by_indexes(engine: Engine) -> None:
    """Whether another knows its run the database asks itself, of all submits that there ever were."""
    counted = text("SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'submissions'")
    with transaction(engine) as connection:
        post = connection.execute(text("SELECT token FROM submissions LIMIT 1")).scalar_one()
        whole, found = connection.execute(counted).one()
        assert ownership.claim(connection, str(post), submissions.Answered(Verdict.ACCEPTED, "another"))
        after = connection.execute(counted).one()
    assert after.seq_scan == whole
    assert after.idx_scan >= (found or 0) + 3, "its row, and who was told its run, in either writing"


def test_no_table_is_read_whole(engine: Engine) -> None:
    """Each statement finds its rows by an index."""
    whole = {name: each for name, ask in ASKED.items() if (each := _read_whole(engine, ask))}
    assert not whole


def _read_whole(engine: Engine, ask: Callable[[Connection], Any]) -> list[str]:
    made: list[tuple[str, Any]] = []

    def note(_1: Any, _2: Any, statement: str, parameters: Any, _3: Any, _4: Any) -> None:
        made.append((statement, parameters))

    with transaction(engine) as connection:
        event.listen(engine, "before_cursor_execute", note)
        ask(connection)
        event.remove(engine, "before_cursor_execute", note)
        plans = [_plan(connection, *each) for each in made if each[0].lstrip().startswith(_EXPLAINED)]
    assert plans
    return [plan for plan in plans if any(f"Seq Scan on {table}" in plan for table in _LARGE)]


_LARGE = ("jobs", "submissions", "events")
_EXPLAINED = ("SELECT", "UPDATE", "WITH", "DELETE")


def _plan(connection: Connection, statement: str, parameters: Any) -> str:
    return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
