"""The sweep comes at once for jobs whose messages did not get out, and for no other."""

from collections.abc import Sequence

from tests.support.requests import job_ids, rows, send
from worker.app import App
from worker.database import leases
from worker.database.engine import single, transaction
from worker.rules.lifecycle import Ticket

JOBS = 4


def _accepted(app: App) -> list[Ticket]:
    for _ in range(JOBS):
        send(app)
    return [Ticket(str(row["id"]), row["version"]) for row in rows(app, "SELECT id, version FROM jobs ORDER BY id")]


def _expect(app: App, tickets: Sequence[Ticket]) -> None:
    with single(app.services.engine) as connection:
        leases.expect(connection, tickets)


def _expected(app: App) -> set[str]:
    return {str(row["id"]) for row in rows(app, "SELECT id FROM jobs WHERE sweep_at <= sam3d_now()")}


def test_a_batch_of_lost_messages_is_expected_in_one_statement(app: App) -> None:
    """But not a job that went on meanwhile, nor one that somebody has taken."""
    first, second, moved, taken = _accepted(app)
    rows(
        app,
        "UPDATE jobs SET lease_until = sam3d_now() + interval '1 minute' WHERE id = :id RETURNING id",
        id=taken.job_id,
    )
    stale = Ticket(moved.job_id, moved.version - 1)
    _expect(app, [taken, stale, second, first])
    assert _expected(app) == {first.job_id, second.job_id}


def test_nobody_is_waited_for(app: App) -> None:
    """A row that is written to just now is its writer's: two that lock several would wait for one another."""
    first, *others = _accepted(app)
    with transaction(app.services.engine) as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET version = version + 1 WHERE id = '{first.job_id}'")
        _expect(app, [first, *others])
    assert _expected(app) == {each.job_id for each in others}
    assert len(job_ids(app)) == JOBS
