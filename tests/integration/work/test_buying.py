"""A submit's job is taken and its intent written in one statement, unless anything is against it: then nothing is."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from tests.support.budgeted import alter_account, alter_job, photo
from tests.support.in_process import row_of
from tests.support.requests import rows
from tests.support.unanswered import finish_job, state_of, verdicts_of
from tests.support.waiting import wait_until
from worker.app import App
from worker.database import lineage, purchases
from worker.database.engine import Connection, DatabaseError, Engine, single, transaction
from worker.database.lineage import Intended
from worker.database.purchases import Permit
from worker.database.tables import now
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket
from worker.simulator import Simulator
from worker.work import buying, intent, ledger
from worker.work.enclosing import digest_of
from worker.work.taking import load

MINUTE = timedelta(minutes=1)


@pytest.fixture
def job(app: App) -> FollowUp:
    """Provide a job that waits for its submit, in a database that has a submit already."""
    other = arrive(app)
    assert load(app.services, other.step, other.ticket)
    with ExitStack() as used:
        for _ in range(3):  # A connection that is new would notice what the database lacks, before any statement.
            used.enter_context(app.services.engine.connect())
    return arrive(app)


def arrive(app: App, **fields: Any) -> FollowUp:
    """Let a request come."""
    asked = prepare_request(fields.pop("image", photo()), **fields)
    message = accept(app.services, asked, derived_job_id("test", uuid4().hex))
    assert message
    return message


@contextmanager
def step_by_step() -> Iterator[None]:
    """Let nothing be done in one statement."""
    with patch.object(intent, "buy", return_value=None):
        yield


@contextmanager
def in_one_statement() -> Iterator[None]:
    """Let nothing be done step by step."""
    with patch.object(intent, "_take_in_turn", side_effect=AssertionError("step by step")):
        yield


def written(app: App, taken: Job) -> tuple[dict[str, Any], ...]:
    """Return what is known of a job and its submit, without what differs with each: ids and times."""
    [row] = rows(
        app, "SELECT *, lease_until - sam3d_now() > interval '10 s' AS leased FROM jobs WHERE id = :id", id=taken.id
    )
    [post] = rows(app, "SELECT * FROM submissions WHERE job_id = :id", id=taken.id)
    assert (str(post.pop("token")), row.pop("sweep_at")) == (taken.token, row["lease_until"])
    assert post["intended_at"] >= taken.observed_at
    known = {name: each for name, each in vars(taken).items() if name not in {"id", "token", "observed_at"}}
    return tuple(_without_times(each) for each in (row, post, known))


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in row.items() if name not in {"id", "job_id"} and not isinstance(each, datetime)}


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with all there is": {
        "prompt": "the cat\u2019s \U0001f431",
        "seed": 7,
        "mask": photo(),
        "bounding_box": [0.1, 2, 30, 30],
    },
    "by address": {"image": "https://images.example.com/a.png?token=x"},
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("limit", [None, 6000])
def test_the_rows_are_those_of_the_long_way(app: App, limit: int | None, request_: str) -> None:
    """All columns of both tables, and the job as its step sees it."""
    object.__setattr__(app.services, "settings", app.services.settings.having(SAM3D_REQUESTS_PER_MINUTE=limit))
    made = []
    for way in (in_one_statement, step_by_step):
        message = arrive(app, **REQUESTS[request_])
        with way():
            taken = load(app.services, message.step, message.ticket)
        assert taken
        made.append(written(app, taken))
    assert made[0] == made[1]


Change = Callable[[App, FollowUp], object]


def _stray(app: App, job: FollowUp, *shown: str) -> None:
    with transaction(app.services.engine) as connection:
        found = lineage.waiting_job(connection, job.ticket.job_id)
        assert found
        sent, run = digest_of(found).inputs, lineage.Run("stray", "QUEUED", datetime.now(UTC))
        is_sent, is_placed = ("inputs" in shown, "placed" in shown)
        stray = lineage.Stray(run, sent if is_sent else {"image": "another"}, sent if is_placed else None)
        lineage.keep_strays(connection, [stray])


def _forget(app: App, _: FollowUp) -> None:
    """Let the database have lost the submit that this process remembers."""
    newest = app.services.memory.newest
    assert newest
    app.services.memory.keep(Intended(str(uuid4()), newest.at + timedelta(milliseconds=1)))


AGAINST: dict[str, Change] = {
    "it is stale": lambda app, job: alter_job(app, job.ticket, version=2),
    "it was cancelled": lambda app, job: alter_job(app, job.ticket, state="cancelled"),
    "it is due later": lambda app, job: alter_job(app, job.ticket, due_at=now + MINUTE),
    "the account is held": lambda app, _: alter_account(app, held_at=now),
    "a person stopped the account": lambda app, _: alter_account(app, paused_at=now),
    "the request limit is used up": lambda app, _: alter_account(app, closed_until=now + MINUTE),
    "submits are missing": lambda app, _: alter_account(app, missing_since=now),
    "the database is another": lambda app, _: alter_account(app, compared_with="another life"),
    "the last answers do not tell": lambda app, _: alter_account(app, unknown_submits=2),
    "jobs share its run": lambda app, job: alter_job(app, job.ticket, is_shared=True),
    "a more important one waits": lambda app, _: arrive(app, priority=1),
    "a submit is lost": _forget,
}
MEANWHILE: dict[str, Change] = {
    **AGAINST,
    "a run of it may be a lost job's": lambda app, job: _stray(app, job, "inputs"),
    "a run at its place may be a lost job's": lambda app, job: _stray(app, job, "placed"),
    "it is another request's": lambda app, job: alter_job(app, job.ticket, fingerprint="of another"),
}


def at_once(app: App, job: FollowUp, *, permit: Permit = Permit.TURN) -> Job | None:
    """Take a job in one statement, if that can be."""
    return buying.take_at_once(app.services, job.ticket, str(uuid4()), 1, permit)


def all_rows(app: App) -> list[Any]:
    """Return what there is of jobs and submits."""
    return [rows(app, f"SELECT * FROM {table} ORDER BY 1") for table in ("jobs", "submissions", "strays", "accounts")]


@pytest.mark.parametrize("why", AGAINST)
def test_where_anything_is_against_it_no_photo_is_read(app: App, job: FollowUp, why: str) -> None:
    """And nothing is written: it is seen before the one statement, and decided step by step."""
    AGAINST[why](app, job)
    before = all_rows(app)
    with patch.object(purchases, "take", side_effect=AssertionError("taken")):
        assert at_once(app, job) is None
    assert all_rows(app) == before


@pytest.mark.parametrize("why", MEANWHILE)
def test_what_comes_between_is_seen_as_well(app: App, job: FollowUp, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """After the job was read the one statement finds nothing to take."""
    read, before = purchases.read, []

    def changed_after(connection: Connection, order: purchases.Order) -> purchases.Wanted | None:
        wanted = read(connection, order)
        assert wanted
        MEANWHILE[why](app, job)
        before.extend(all_rows(app))
        return wanted

    monkeypatch.setattr(purchases, "read", changed_after)
    assert at_once(app, job) is None
    assert all_rows(app) == before


NOT_AGAINST: dict[str, Change] = {
    "one as important waits": lambda app, _: arrive(app),
    "a more important one is taken": lambda app, _: _important(app, lease_until=now + MINUTE),
    "a more important one is due later": lambda app, _: _important(app, due_at=now + MINUTE),
    "another run may be a lost job's": _stray,
}


def _important(app: App, **values: object) -> None:
    alter_job(app, arrive(app, priority=9).ticket, **values)


@pytest.mark.parametrize("what", NOT_AGAINST)
def test_what_is_not_against_it_lets_it_go(app: App, job: FollowUp, what: str) -> None:
    """Nothing is looked at step by step."""
    NOT_AGAINST[what](app, job)
    assert at_once(app, job)


@pytest.mark.parametrize("has_slot", [False, True])
def test_where_requests_are_limited_the_slot_decides(app: App, job: FollowUp, *, has_slot: bool) -> None:
    """Not its importance: the release has chosen it."""
    arrive(app, priority=9)
    if has_slot:
        alter_job(app, job.ticket, slot_at=now)
    assert (at_once(app, job, permit=Permit.SLOT) is not None) == has_slot


@contextmanager
def unseen(engine: Engine) -> Iterator[Connection]:
    """Let what commits reach the database, and its confirmation not the worker."""
    with single(engine) as connection:
        yield connection
    raise DatabaseError("the connection broke")


def _lose_reply(monkeypatch: pytest.MonkeyPatch, second: Callable[[Engine], Any]) -> None:
    """Let the first statement, which reads, go well, and the second one not."""
    ways = [second, single]

    def next_way(engine: Engine) -> Any:
        return ways.pop()(engine)

    monkeypatch.setattr(buying, "single", next_way)


def test_an_intent_whose_reply_was_lost_is_taken_back(app: App, job: FollowUp, simulator: Simulator) -> None:
    """It was committed: nothing is sent for it, the job is as if nobody had taken it, and is paid once."""
    with pytest.MonkeyPatch.context() as patched:
        _lose_reply(patched, unseen)
        with pytest.raises(DatabaseError):
            load(app.services, Step.SUBMIT, job.ticket)
    assert (state_of(app, job), verdicts_of(app, job)) == (JobState.ACCEPTED, ["not_started"])
    [row] = rows(app, "SELECT version FROM jobs WHERE id = :id", id=job.ticket.job_id)
    finish_job(app, FollowUp(job.step, Ticket(job.ticket.job_id, row["version"]), job.delay))
    assert (state_of(app, job), len(simulator.ledger())) == (JobState.SUCCEEDED, 1)


def test_an_intent_that_comes_after_it_was_taken_back_is_none(app: App, job: FollowUp, simulator: Simulator) -> None:
    """Its statement was on its way when the connection broke: the job stays as it was, and its message is good."""
    take, late = purchases.take, []

    def lost(_: Connection, *args: Any) -> None:
        late.append(args)
        raise DatabaseError("the connection broke")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(purchases, "take", lost)
        with pytest.raises(DatabaseError):
            load(app.services, Step.SUBMIT, job.ticket)
    before = all_rows(app)
    with pytest.raises(DatabaseError), single(app.services.engine) as connection:
        take(connection, *late[0])
    assert all_rows(app) == before
    assert (state_of(app, job), verdicts_of(app, job)) == (JobState.ACCEPTED, ["not_started"])
    finish_job(app, job)
    assert (state_of(app, job), verdicts_of(app, job)[1:], len(simulator.ledger())) == (
        JobState.SUCCEEDED,
        ["accepted"],
        1,
    )


@pytest.mark.parametrize("has_come", [False, True])
def test_to_take_it_back_twice_is_nobody_elses_loss(app: App, job: FollowUp, *, has_come: bool) -> None:
    """The reply to that was lost as well, and another worker has the job before it is done again: it stays his."""
    others: list[Job] = []

    @contextmanager
    def taken_by_another(engine: Engine) -> Iterator[Connection]:
        with transaction(engine) as connection:
            yield connection
        monkeypatch.undo()
        [row] = rows(app, "SELECT version FROM jobs WHERE id = :id", id=job.ticket.job_id)
        if row["version"] == job.ticket.version:
            others.append(_taken(app, Ticket(job.ticket.job_id, row["version"])))
        raise DatabaseError("the connection broke")

    monkeypatch = pytest.MonkeyPatch()
    _lose_reply(monkeypatch, unseen if has_come else never)
    monkeypatch.setattr(ledger, "transaction", taken_by_another)
    with pytest.raises(DatabaseError):
        load(app.services, job.step, job.ticket)
    assert len(others) == (not has_come)
    assert state_of(app, job) == (JobState.ACCEPTED if has_come else JobState.SUBMITTING)
    assert verdicts_of(app, job) == ["not_started", *(["None"] if others else [])]


def never(_: Engine) -> Any:
    """Let a connection break before anything is sent."""
    raise DatabaseError("the connection broke")


def _taken(app: App, ticket: Ticket) -> Job:
    taken = load(app.services, Step.SUBMIT, ticket)
    assert taken
    return taken


def test_a_job_that_somebody_is_changing_is_waited_for(app: App, job: FollowUp) -> None:
    """What he makes of it counts, not what it was when the statement began."""
    with ThreadPoolExecutor(1) as second:
        with transaction(app.services.engine) as connection:
            connection.exec_driver_sql("UPDATE jobs SET version = version + 1 WHERE state = 'accepted'")
            taken = second.submit(at_once, app, job)
            wait_until(lambda: _is_awaited(app), "it waits for the other")
        assert taken.result(60) is None
    assert verdicts_of(app, job) == []


def _is_awaited(app: App) -> bool:
    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(rows(app, waits))


def test_an_intent_and_its_job_are_written_together(app: App, job: FollowUp) -> None:
    """An intent that the database does not take leaves its job as it was."""
    with transaction(app.services.engine) as connection:
        connection.exec_driver_sql("ALTER TABLE submissions ADD CONSTRAINT none CHECK (verdict IS NOT NULL) NOT VALID")
    before = row_of(app, job.ticket.job_id)
    with pytest.raises(DatabaseError):
        at_once(app, job)
    assert (row_of(app, job.ticket.job_id), verdicts_of(app, job)) == (before, [])
