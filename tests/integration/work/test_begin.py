"""A request that concerns nobody else becomes a job in one statement: the same rows as step by step, or none."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest

from tests.support.budgeted import add_jobs, photo
from tests.support.requests import at_once, job_ids, rows, send
from worker.app import App
from worker.database.engine import Connection, DatabaseError, Engine, single, transaction
from worker.database.slots import WAITS
from worker.intake import accept as door
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.rules.lifecycle import NOW, FollowUp, Step, Ticket
from worker.rules.origin import Origin
from worker.work import begin
from worker.work.cancelling import cancel

SHOP = Origin("shop", "order-7")
TABLES = ("jobs", "inputs", "events", "submissions")
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with all there is": {
        "idempotency_key": "order-7",
        "prompt": "the cat\u2019s \U0001f431",
        "seed": 7,
        "metadata": {"order": {"nested": [1, None, 0.1]}},
        "priority": -3,
        "mask": photo(),
    },
    "by address": {"image": "https://images.example.com/a.png?token=x"},
}
STANDS = {
    "works": "SELECT 1 AS one",
    "held": "UPDATE accounts SET held_at = sam3d_now(), held_cause = 'credits' RETURNING name",
    "paused": "UPDATE accounts SET paused_at = sam3d_now() RETURNING name",
}


def request_of(job_id: UUID, **fields: Any) -> dict[str, Any]:
    """Return a request that names its job."""
    image = fields.pop("image", photo())
    return {**prepare_request(image, **fields), "job_id": str(job_id)}


def written(app: App, job_id: UUID) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a job, without what differs with each: ids and times."""
    named = {"jobs": "id"} | dict.fromkeys(TABLES[1:], "job_id")
    query = "SELECT * FROM {} WHERE {} = :id ORDER BY 1"
    found = {table: rows(app, query.format(table, named[table]), id=job_id) for table in TABLES}
    return {table: [_without_times(row, str(job_id)) for row in each] for table, each in found.items()}


def _without_times(row: dict[str, Any], job_id: str) -> dict[str, Any]:
    own = {name: each for name, each in row.items() if not name.endswith(("_at", "_until")) and name != "position"}
    swept = {"waits": row["sweep_at"] - row["accepted_at"]} if "sweep_at" in row else {}
    is_event = {"id": "an event"} if "payload" in row else {}
    told = {"payload": {**row["payload"], "job_id": "its job"}} if "payload" in row else {}
    return {
        name: "its job" if str(each) == job_id else each for name, each in {**own, **swept, **is_event, **told}.items()
    }


@contextmanager
def step_by_step() -> Iterator[None]:
    """Let nothing be done in one statement."""
    with patch.object(door, "begin_alone", return_value=None):
        yield


@contextmanager
def in_one_statement() -> Iterator[None]:
    """Let nothing be done step by step."""
    with patch.object(door, "_admit", side_effect=AssertionError("step by step")):
        yield


@pytest.mark.parametrize("stands", STANDS)
@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("limit", [None, 6000])
def test_the_rows_are_those_of_the_long_way(app: App, limit: int | None, request_: str, stands: str) -> None:
    """All columns of all tables, the event that goes out, and the submit that follows or does not."""
    rows(app, STANDS[stands])
    object.__setattr__(app.services, "settings", app.services.settings.having(SAM3D_REQUESTS_PER_MINUTE=limit))
    made = []
    for way, source in ((in_one_statement, "shop"), (step_by_step, "shop")):
        job_id = uuid4()
        with way():
            following = accept(
                app.services, request_of(job_id, **REQUESTS[request_]), uuid4(), origin=Origin(source, "a")
            )
        made.append((written(app, job_id), following and (following.step, following.ticket.version, following.delay)))
        rows(app, "UPDATE jobs SET idempotency_key = NULL WHERE id = :id RETURNING id", id=job_id)
    assert made[0] == made[1]
    assert [len(each) for each in made[0][0].values()] == [1, 1 + ("mask" in REQUESTS[request_]), 1, 0]
    assert (made[0][1] is not None) == (stands == "works")


def test_behind_those_that_wait_for_the_budget_it_waits_as_well(limited: App) -> None:
    """Written by the one statement that looks for them: it has no message, and the scheduler finds it."""
    add_jobs(limited, 1, waits_for=WAITS)
    made = []
    for way in (in_one_statement, step_by_step):
        job_id = uuid4()
        with way():
            assert accept(limited.services, request_of(job_id), uuid4()) is None
        made.append(written(limited, job_id))
    assert made[0] == made[1]
    assert made[0]["jobs"][0]["waits_for"] == WAITS


def test_a_key_of_another_sender_hinders_nobody(app: App) -> None:
    """Each has keys of his own."""
    for source in ("one", "other", ""):
        with in_one_statement():
            assert accept(app.services, request_of(uuid4(), idempotency_key="k"), uuid4(), origin=Origin(source))
    assert len(job_ids(app)) == 3


Had = Callable[[App], str]


def _ended(app: App) -> str:
    job_id = send(app, idempotency_key="k")
    assert cancel(app.services, job_id)
    return job_id


def _of_nobody(app: App, state: str) -> str:
    """Add a job of a release that asked for no sender."""
    job_id = send(app, idempotency_key="k")
    assert rows(app, "UPDATE jobs SET source = NULL, state = :state, error_code = 'x' RETURNING id", state=state)
    return job_id


HAD: dict[str, Had] = {
    "it goes on": lambda app: send(app, idempotency_key="k"),
    "it was cancelled": _ended,
    "anybody's goes on": lambda app: _of_nobody(app, "accepted"),
    "anybody's failed": lambda app: _of_nobody(app, "failed"),
}


@pytest.mark.parametrize("had", HAD)
def test_where_a_job_has_or_had_the_key_nothing_is_written(app: App, had: str) -> None:
    """Which of them it is, and what follows, is decided step by step."""
    first = HAD[had](app)
    before = _all(app)
    values = {**_values(uuid4()), "idempotency_key": "k"}
    assert begin.begin_alone(app.services, values, []) is None
    assert _all(app) == before
    second = send(app, idempotency_key="k")
    linked = rows(app, "SELECT retry_of FROM jobs WHERE id = :id", id=UUID(second))
    is_over = had in {"it was cancelled", "anybody's failed"}
    assert [str(row["retry_of"]) for row in linked] == ([first] if is_over else [])


def _values(job_id: UUID) -> dict[str, Any]:
    own = {"id": str(job_id), "fingerprint": "f", "parameters": {}, "metadata": {}, "priority": 0}
    return {**own, "source": "", "correlation_id": None, "idempotency_key": None}


def _all(app: App) -> list[Any]:
    return [rows(app, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES]


def test_an_identity_that_is_taken_is_not_written_again(app: App) -> None:
    """Neither a file nor an event of it."""
    job_id = uuid4()
    assert begin.begin_alone(app.services, _values(job_id), [])
    before = _all(app)
    assert begin.begin_alone(app.services, _values(job_id), []) is None
    assert _all(app) == before


@pytest.mark.parametrize("has_key", [False, True])
def test_of_many_at_once_one_is_written(app: App, *, has_key: bool) -> None:
    """The same request many times, or many requests of one key: the database decides, and each is told of the one."""
    job_id = uuid4()

    def come() -> None:
        named, key = (uuid4(), {"idempotency_key": "k"}) if has_key else (job_id, {})
        accept(app.services, request_of(named, **key), uuid4())

    at_once(8, come)
    assert len(job_ids(app)) == 1
    assert len(rows(app, "SELECT 1 FROM inputs")) == 1
    own = "SELECT 1 FROM events JOIN jobs ON jobs.id = job_id WHERE duplicate_of IS NULL"
    assert len(rows(app, own)) == 1


@pytest.mark.parametrize("table", ["inputs", "events"])
def test_it_is_whole_or_not_at_all(app: App, table: str) -> None:
    """A file or an event that the database does not take leaves no job behind."""
    with transaction(app.services.engine) as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT none CHECK (job_id IS NULL) NOT VALID")
    with pytest.raises(DatabaseError):
        accept(app.services, request_of(uuid4()), uuid4())
    assert [len(each) for each in _all(app)] == [0, 0, 0, 0]


def test_a_request_whose_reply_was_lost_comes_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was committed: the message that comes again is a duplicate, and the job's own event is in the outbox."""

    @contextmanager
    def unseen(engine: Engine) -> Iterator[Connection]:
        with single(engine) as connection:
            yield connection
        raise DatabaseError("the connection broke")

    asked, message = request_of(uuid4()), uuid4()
    with monkeypatch.context() as patched:
        patched.setattr(begin, "single", unseen)
        with pytest.raises(DatabaseError):
            accept(app.services, asked, message)
    assert [row["published_at"] for row in rows(app, "SELECT * FROM events")] == [None]
    accept(app.services, asked, message)
    assert job_ids(app) == [asked["job_id"]]
    told = rows(app, "SELECT duplicate_of FROM events ORDER BY position")
    assert [row["duplicate_of"] is None for row in told] == [True, False]


@pytest.mark.parametrize("known_by", ["its body", "its run"])
def test_what_concerns_others_goes_step_by_step(app: App, sharing: App, known_by: str) -> None:
    """One that is known by its body alone, and one that may share a run."""
    with patch.object(door, "begin_alone", side_effect=AssertionError("in one statement")):
        if known_by == "its body":
            fields = {name: each for name, each in request_of(uuid4()).items() if name != "job_id"}
            following = accept(app.services, fields, uuid4(), body_age=NOW)
        else:
            following = accept(sharing.services, request_of(uuid4()), uuid4())
    assert isinstance(following, FollowUp)
    assert (following.step, following.ticket) == (Step.SUBMIT, Ticket(following.ticket.job_id, 1))
