"""What is asked again and again reads no table whole, however many jobs have ended."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from worker.database import (
    arrivals,
    at_once,
    births,
    doubts,
    figures,
    idle_slots,
    leases,
    lineage,
    looks,
    outbox,
    overdue,
    ownership,
    purchases,
    reading,
    retention,
    retries,
    shares,
    slots,
    submissions,
    turns,
    usage,
)
from worker.database import jobs as repository
from worker.database.engine import Connection, Engine, create_database_engine, transaction
from worker.rules.budget import NO_MARGIN, Kind, Terms
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, EventType, JobState, Step, Ticket, Trigger, Verdict
from worker.rules.outcome import Advance, Learnt, Outcome, StoredFile, decide
from worker.rules.plan import Plan

ENDED, LIVE = 30_000, 200
SECOND = timedelta(seconds=1)
ID = "00000000-0000-4000-8000-000000000001"
TICKET = Ticket(ID, 1)
KEY = arrivals.Key("x", "x")
_ROW = {"id": ID, "fingerprint": "", "parameters": {}, "metadata": {}, "priority": 0}
NEWBORN = births.Newborn(
    {**_ROW, "source": "x", "correlation_id": None, "idempotency_key": "x"}, [], {}, is_limited=True
)
ORDER, CHOSEN = (purchases.Order(TICKET, each, lineage.Intended(ID, datetime.now(UTC))) for each in (False, True))
WANTED = purchases.Wanted({}, [], "")
INTENT = submissions.intent_of(ID, WANTED, "x", 1, submissions.Digest("", {}))

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


TERMS = Terms(Plan(looks=(30,), polls=3.0, typical=30 * SECOND, processing=NOW), limit=6000)
ASKED: dict[str, Callable[[Connection], Any]] = {
    "take": lambda c: repository.take(c, TICKET, JobState.PROCESSING, SECOND, needs_slot=True),
    "existing": lambda c: arrivals.find_existing(c, ID, KEY, ID),
    "key": lambda c: (arrivals.is_everybodys(c, KEY), arrivals.last_of_key(c, KEY)),
    "birth": lambda c: births.add(c, NEWBORN, "default", SECOND),
    "body": lambda c: arrivals.id_for_body(c, ID, SECOND, is_sent_anew=True),
    "retry": lambda c: retries.lock(c, ID),
    "cancel": lambda c: repository.cancel(c, ID),
    "left open": lambda c: doubts.left_open(c, SECOND, SECOND, 10),
    "given back": lambda c: ownership.give_back(c, ID, "x"),
    "history": lambda c: reading.history(c, ID),
    "list": lambda c: (reading.newest_jobs(c, None, 10), reading.jobs_in_review(c, reading.Reviewed())),
    "events": lambda c: retention.delete_events(c, retention.old_events(timedelta(days=900)), 10),
    "purchase": lambda c: (purchases.read(c, ORDER), purchases.take(c, ORDER, WANTED, INTENT, SECOND)),
    "chosen purchase": lambda c: (purchases.read(c, CHOSEN), purchases.take(c, CHOSEN, WANTED, INTENT, SECOND)),
    "turn": lambda c: turns.whose_turn(c, TICKET),
    "polled soon": lambda c: looks.polled_soon(c, "default", SECOND, 10),
    "submit times": lambda c: looks.submit_times(c, "default", 10),
    "overdue": overdue.count_overdue,
    "abandoned": lambda c: overdue.abandoned(c, 10),
    "untaken": lambda c: overdue.untaken(c, 10, JobState.FETCHING),
    "leases": lambda c: (leases.lessees(c), leases.free(c, [1]), leases.expect_all(c, SECOND, 10)),
    "budget": lambda c: slots.release(c, "default", TERMS, SECOND),
    "draw": lambda c: slots.draw(c, TICKET, Step.SUBMIT, JobState.ACCEPTED, TERMS, SECOND),
    "drawn at once": lambda c: idle_slots.draw(c, TICKET, TERMS, SECOND, NO_MARGIN),
    "taken at once": lambda c: idle_slots.take(c, TICKET, JobState.PROCESSING, Kind.POLL, TERMS, SECOND, 1),
    "waiting": lambda c: slots.has_waiting(c, "default"),
    "figures": lambda c: (figures.known(c, "default"), figures.recent_runs(c, "default")),
    "usage": lambda c: usage.carried(c, "default"),
    "doubts": lambda c: doubts.unanswered(c, 10),
    "look now": lambda c: doubts.look_now(c, "default"),
    "lineage": lambda c: lineage.waiting_jobs(c, "default"),
    "drive": lambda c: lineage.drive_waiting(c, "default"),
    "claims": lambda c: (ownership.is_claimed(c, ID, ID), ownership.claimed(c, [ID]), ownership.holder_of(c, ID, ID)),
    "answered": submissions.answered_id,
    "shares": lambda c: (shares.lock(c, "x"), shares.untold(c, 10), shares.count_waiting(c, ID)),
    "outbox": lambda c: (outbox.leave(c, SECOND, outbox.Walk()), outbox.unpublished(c, 10)),
    "retention": lambda c: retention.delete_jobs(c, retention.old_jobs(timedelta(days=90)), 10),
}


def _at_once(connection: Connection, outcome: Outcome, **more: Any) -> None:
    """Write a change of a job that there is not."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    job = Job(ID, "default", JobState.SUBMITTING if more else JobState.FETCHING, 1, {}, {}, 0, 0, 0, "x", at, at, ID)
    change = decide(job.state, 0, outcome)
    at_once.write(connection, at_once.Whole(job, change, SECOND, EventType.SUBMITTED, {}, **more))


_TELLS = Learnt(tells_of_account=True)
ASKED |= {
    "answer": lambda c: _at_once(
        c, Advance(Trigger.ANSWERED, learnt=_TELLS), answer=submissions.Answered(Verdict.ACCEPTED, ID)
    ),
    "end": lambda c: _at_once(
        c, Advance(Trigger.STORED, learnt=_TELLS, files=[StoredFile("x", "x", 1, "x", "database:output/x")])
    ),
}


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
