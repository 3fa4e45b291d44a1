"""What the clock and a job's steps ask takes no longer the more there is that waits, or that ended long ago.

No node of a plan goes through many rows: no table is read whole, nothing is sorted whole, nobody walks along a line.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.support.asked import ASKED, ID, INTENT, ORDER, TERMS, WANTED
from worker.database import (
    accounts,
    idle_slots,
    lineage,
    overdue,
    purchases,
    put_off,
    retention,
    slots,
    turns,
    under_way,
)
from worker.database import jobs as repository
from worker.database.engine import Connection, Engine, create_database_engine, transaction
from worker.rules.budget import NO_MARGIN
from worker.rules.lifecycle import JobState, Step, Ticket

SLOW = replace(TERMS, limit=60)
MANY, FEW, MOST = 20_000, 50, 1_000
DAY = timedelta(days=1)

SELDOM = {"list", "usage", "lineage", "drive"}
"""What only a person asks, or a database that was set back."""

LIMITED = {"budget", "own draw", "own draw at once", "own poll's slot"}
"""What is asked under a request limit: then who comes while jobs wait is a row, and the queue is short."""

OF_RUNS = {"polled soon", "leases", "look now", "own poll's slot"}
"""What goes through all runs: a look at the history, where that is set; the leases of the dead, and an outage that is
over, seldom; and a fetch under a request limit, which keeps the runs few.
"""

_JOBS = """
INSERT INTO jobs (id, state, fingerprint, request_id, error_code, priority, waits_for,
    accepted_at, submitted_at, running_at, completed_at, finished_at, due_at, sweep_at)
SELECT gen_random_uuid(), :state, repeat('f', 64), CASE WHEN has_run THEN gen_random_uuid() END, 'x', number % 3,
    :waits_for, at, CASE WHEN has_run THEN at END, at + interval '5 s', CASE WHEN is_over THEN at END,
    CASE WHEN is_over THEN at END,
    sam3d_now() + :due * interval '1 s', sam3d_now() + :swept * interval '1 s'
FROM generate_series(1, :count) AS number,
LATERAL (SELECT sam3d_now() - :age - number * interval '1 s' AS at) AS made,
LATERAL (SELECT :state NOT IN ('accepted', 'submitting') AS has_run) AS begun,
LATERAL (SELECT :state IN ('succeeded', 'failed') AS is_over) AS ended
"""
_RECORDS = (
    """
INSERT INTO submissions (token, job_id, worker, intended_at, answered_at, verdict, request_id, run, told, inputs)
SELECT gen_random_uuid(), id, 'x', submitted_at, submitted_at, 'accepted', request_id, replace(request_id, '-', ''),
    replace(request_id, '-', ''), '{}'
FROM jobs WHERE request_id IS NOT NULL
""",
    """
INSERT INTO submissions (token, job_id, worker, inputs) SELECT gen_random_uuid(), id, 'x', '{}'
FROM jobs WHERE state = 'submitting'
""",
    """
INSERT INTO events (id, job_id, type, payload, occurred_at, published_at)
SELECT sam3d_event_id(finished_at), id, 'sam3d.reconstruction.' || state, '{}', finished_at, finished_at
FROM jobs WHERE finished_at IS NOT NULL
""",
    """
INSERT INTO inputs (job_id, name, content, bytes, sha256)
SELECT id, 'image', CASE WHEN state <> 'succeeded' THEN ''::bytea END, 1, repeat('f', 64) FROM jobs
""",
    """
INSERT INTO outputs (job_id, name, media_type, bytes, sha256, location, stored_at)
SELECT id, 'model.glb', 'x', 1, repeat('f', 64), 'database:output/' || id, finished_at
FROM jobs WHERE state = 'succeeded'
""",
    "INSERT INTO blobs (location, bytes, loose_since) SELECT location, 1, NULL FROM outputs",
    "INSERT INTO walks SELECT name, sam3d_now() - interval '10 min' FROM (VALUES ('ended'), ('failed')) AS each(name)",
)


@dataclass(frozen=True)
class Crowd:
    """Many jobs that wait, in the same way: for what, in how many seconds they are due, and left behind."""

    waits_for: str | None
    due: int
    swept: int
    is_held: bool = False
    state: str = "accepted"


CROWDS = {
    "for the budget": Crowd(slots.WAITS, -60, -30),
    "as rows": Crowd(None, -60, -30),
    "in the queue": Crowd(None, -1, 100),
    "of a held account": Crowd(None, -60, -30, is_held=True),
    "at the vendor": Crowd(None, 30, 90, state="processing"),
    "for a look": Crowd(None, -60, -30, state="processing"),
}


@pytest.fixture(params=CROWDS, ids=list(CROWDS))
def engine(request: pytest.FixtureRequest, migrated_url: str) -> Iterator[Engine]:
    """Provide a database with many jobs that have ended, as many that wait, and some that go on."""
    crowd = CROWDS[request.param]
    made = create_database_engine(migrated_url, 2)
    with transaction(made) as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for state in ("succeeded", "failed"):
            _add(connection, MANY // 2, state, age=DAY)
        for state in ("submitting", "processing", "fetching"):
            _add(connection, FEW, state)
        _add(connection, FEW, "accepted")
        _add(connection, MANY, crowd.state, waits_for=crowd.waits_for, due=crowd.due, swept=crowd.swept)
        if crowd.is_held:
            connection.exec_driver_sql("UPDATE accounts SET held_at = sam3d_now(), held_cause = 'credits'")
        for statement in _RECORDS:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("ANALYZE")
    yield made
    made.dispose()


def _add(connection: Connection, count: int, state: str, **its: Any) -> None:
    usual = {"age": timedelta(0), "waits_for": None, "due": 1, "swept": 60}
    connection.execute(text(_JOBS), {"count": count, "state": state, **usual, **its})


def _questions(connection: Connection) -> Mapping[str, Callable[[Connection], Any]]:
    """Return what is asked, of the job that is last in the line where it is asked of one."""
    last = "SELECT id FROM jobs WHERE state = 'accepted' ORDER BY priority, accepted_at DESC LIMIT 1"
    own, stale = (Ticket(str(connection.exec_driver_sql(last).scalar_one()), version) for version in (1, 7))
    order = replace(ORDER, ticket=own)
    drawn = replace(order, permit=purchases.Permit.NEXT_SLOT, drawing=idle_slots.drawing(SLOW, NO_MARGIN))
    needless = retention.needless_inputs(DAY)
    return {
        **{name: ask for name, ask in ASKED.items() if name not in SELDOM},
        "budget": lambda c: slots.release(c, "default", SLOW, DAY),
        "own draw": lambda c: slots.draw(c, own, Step.SUBMIT, JobState.ACCEPTED, SLOW, DAY),
        "own draw at once": lambda c: (purchases.read(c, drawn), purchases.take(c, drawn, WANTED, INTENT, DAY)),
        "own turn": lambda c: turns.whose_turn(c, own),
        "another's turn": lambda c: turns.whose_turn(c, stale),
        "last purchase": lambda c: purchases.read(c, order),
        "last of all": lambda c: repository.take_for_submit(c, own, DAY, own.job_id, needs_slot=False),
        "waiting jobs": lambda c: (overdue.count_waiting(c, 500), overdue.waiting(c, 100)),
        "under way": _two_pages,
        "own poll's slot": lambda c: [_swap(c, each) for each in (JobState.PROCESSING, JobState.FETCHING)],
        "probe": lambda c: [accounts.let_one_through(c, each.name) for each in accounts.to_probe(c, DAY)],
        "clock": lambda c: put_off.bring_back(c, DAY, [own.job_id], 500),
        "comparing": lambda c: lineage.read(c, "default"),
        "photos": lambda c: retention.forget_inputs(c, needless, 20, DAY),
        "files": lambda c: retention.delete_outputs(c, retention.old_outputs("output", 30 * DAY), 20),
        "counts": lambda c: retention.delete_counts(c, DAY),
    }


def _two_pages(connection: Connection) -> object:
    """Look through some runs of the midst."""
    midst = replace(_ANY, accepted_at=datetime.now(UTC) - MANY // 2 * timedelta(seconds=1), id=ID)
    return under_way.page(connection, None, DAY), under_way.page(connection, midst, DAY)


_NOW = datetime.now(UTC)
_ANY = under_way.Seen(_NOW, ID, JobState.PROCESSING, False, False, None, False, False, True, _NOW, ())


def _swap(connection: Connection, state: JobState) -> object:
    its = {"payer": "default", "until": datetime.now(UTC) + DAY}
    return connection.execute(slots._less_urgent(state), its)


def test_nothing_takes_longer_the_more_there_is(engine: Engine, request: pytest.FixtureRequest) -> None:
    """Of what is asked at each tick, and of each job."""
    with engine.connect() as connection:
        asked = _questions(connection)
    walks = {name: found for name, ask in asked.items() if (found := _long_walks(engine, ask))}
    crowd = request.node.callspec.params["engine"]
    let = LIMITED if crowd == "in the queue" else OF_RUNS if CROWDS[crowd].state == "processing" else ()
    assert not {name: found for name, found in walks.items() if name not in let}


def _long_walks(engine: Engine, ask: Callable[[Connection], Any]) -> list[str]:
    """Return the nodes of plans that go through many rows."""
    made: list[tuple[str, Any]] = []

    def note(_1: Any, _2: Any, statement: str, parameters: Any, _3: Any, _4: Any) -> None:
        made.append((statement, parameters))

    with engine.connect() as connection:
        event.listen(engine, "before_cursor_execute", note)
        ask(connection)
        event.remove(engine, "before_cursor_execute", note)
        connection.rollback()
        read = [each for each in made if each[0].lstrip().startswith(("SELECT", "UPDATE", "WITH", "DELETE"))]
        plans = [_plan(connection, *each) for each in read]
        connection.rollback()
    return [
        f"{walk} {node['Node Type']} in {node}"
        for plan in plans
        for node in _nodes(plan)
        if (walk := _rows(node)) > MOST
    ]


def _plan(connection: Connection, statement: str, parameters: Any) -> Any:
    explained = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
    return connection.exec_driver_sql(explained, parameters).scalar_one()[0]["Plan"]


def _nodes(plan: Any) -> Iterator[Any]:
    yield {key: value for key, value in plan.items() if key != "Plans"}
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


_PASSED = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


def _rows(node: Any) -> float:
    """Return how many rows a node goes through."""
    return float(sum(node.get(each, 0) for each in _PASSED) * node.get("Actual Loops", 1))
