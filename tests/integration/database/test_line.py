"""The line of what waits as rows is in its order, whether few wait or many."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import bindparam, select, text

from worker.app import App
from worker.database import line
from worker.database.accounts import let_one_through
from worker.database.engine import Connection, transaction
from worker.database.tables import accounts, jobs

_ADD = """
INSERT INTO jobs (id, state, fingerprint, priority, refusals, accepted_at, due_at, sweep_at, waits_for)
SELECT gen_random_uuid(), 'accepted', '', number * 7 % 5, greatest(0, number * 11 % 4 - 2),
    sam3d_now() - number * 13 % 60 * interval '1 s', sam3d_now() + (number % 9 - 7) * interval '1 s',
    sam3d_now() + (number % 10 - 8) * interval '1 s', CASE WHEN number = 30 THEN 'money' ELSE 'x' END
FROM generate_series(1, 60) AS number
"""
_EXPECTED = """
SELECT id::text FROM jobs WHERE state = 'accepted' AND waits_until <= sam3d_now() AND due_at <= sam3d_now()
ORDER BY refusals, priority DESC, accepted_at
"""


@pytest.fixture(params=[500, 5], ids=["few wait", "many wait"])
def connection(request: pytest.FixtureRequest, app: App, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Provide a database in which jobs wait: some were refused, some are due later, some have a message."""
    monkeypatch.setattr(line, "FIRST", request.param)
    with transaction(app.services.engine) as connection:
        connection.execute(text(_ADD))
        yield connection


def _first(connection: Connection, limit: int) -> Sequence[str]:
    return [row.id for row in line.first(connection, "default", limit, (jobs.c.id,))]


def _expected(connection: Connection) -> list[str]:
    return list(connection.execute(text(_EXPECTED)).scalars())


def test_the_first_are_first(connection: Connection) -> None:
    """Those that were never refused, by priority, then age; then the others, those first that were refused less."""
    expected = _expected(connection)
    assert len(expected) > 40
    for limit in (1, 7, 30, 39, 60):
        assert _first(connection, limit) == expected[:limit]


def test_of_a_held_account_the_probe_alone_goes(connection: Connection) -> None:
    """Nobody else's turn it is, however many wait."""
    probe = _expected(connection)[20]
    connection.execute(accounts.update().values(held_at=text("sam3d_now()"), probe_job_id=probe))
    assert _first(connection, 10) == [probe]
    assert line.count(connection, "default", 10) == 1
    connection.execute(accounts.update().values(probe_job_id=None))
    assert (_first(connection, 10), line.count(connection, "default", 10)) == ([], 0)


def test_as_many_are_counted_as_wait(connection: Connection) -> None:
    """But not more than can matter."""
    assert line.count(connection, "default", 100) == len(_expected(connection))
    assert line.count(connection, "default", 7) == 7


def test_what_any_waits_for_is_told_of_the_last(connection: Connection) -> None:
    """Of so many as are looked at."""
    asked = select(line.any_waits_for(bindparam("payer"), "money"))
    connection.execute(text("UPDATE jobs SET sweep_at = sam3d_now() WHERE waits_for = 'money'"))
    assert connection.execute(asked, {"payer": "default"}).scalar() is True
    connection.execute(text("UPDATE jobs SET sweep_at = sam3d_now() + interval '1 s' WHERE waits_for = 'money'"))
    assert connection.execute(asked, {"payer": "default"}).scalar() is False


_LEAST_TRIED = """
SELECT id::text FROM jobs WHERE state = 'accepted' ORDER BY refusals, attempts, priority DESC, accepted_at LIMIT 1
"""


def test_the_job_that_tries_a_held_account_is_the_least_tried(connection: Connection) -> None:
    """The first in line of those that were never refused, another one each time, and at last those that were."""
    connection.execute(accounts.update().values(held_at=text("sam3d_now()"), held_cause="limit"))
    for column in ("attempts", "refusals") * 35:
        expected = connection.execute(text(_LEAST_TRIED)).scalar()
        chosen = let_one_through(connection, "default")
        assert chosen
        assert chosen.ticket.job_id == expected
        connection.execute(text(f"UPDATE jobs SET {column} = {column} + 1 WHERE id = :id"), {"id": expected})
