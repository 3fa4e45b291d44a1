"""What those who share a run are told: each the same, whenever he came, and what it cost once."""

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from tests.support.in_process import advance, wait_until_due
from tests.support.requests import rows
from tests.support.sharing import drive, row_of, send, send_all, told
from worker.app import App
from worker.database import jobs
from worker.database.engine import transaction
from worker.database.outbox import Event
from worker.intake.asking import answer
from worker.intake.envelope import Envelope
from worker.rules.asks import Ask
from worker.rules.lifecycle import Step, Trigger
from worker.rules.origin import Origin
from worker.rules.outcome import Fail
from worker.work import changes, reads
from worker.work.cancelling import cancel
from worker.work.executor import record, run
from worker.work.taking import load


def types_of(app: App, job_id: str) -> list[str]:
    """List what a job was told, the oldest first."""
    query = "SELECT type FROM events WHERE job_id = :id ORDER BY position"
    return [row["type"].rpartition(".")[2] for row in rows(app, query, id=UUID(job_id))]


def put_to_review(app: App, run_id: str) -> None:
    """Let workers end over a run again and again."""
    with transaction(app.services.engine) as connection:
        run = jobs.find(connection, run_id)
        assert run
        changes.apply(connection, run, Fail(Trigger.KILLED, "worker_killed", "Workers ended."), timedelta(0))


@pytest.fixture
def ask(sharing: App, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return what asks how a job stands."""
    heard: list[Event] = []
    monkeypatch.setattr(sharing.services.post, "tell", heard.append)

    def asked(job_id: str) -> str:
        envelope = Envelope({"job_id": job_id}, uuid4(), is_of_body=False)
        answer(sharing.services, Ask.STATUS, envelope, Origin("shop", None))
        assert heard[-1].job_id == job_id
        return heard[-1].type.rpartition(".")[2]

    return asked


def test_each_event_names_the_run(sharing: App) -> None:
    """With the vendor's name for it as soon as that is known."""
    sharers, submit = send_all(sharing, 3)
    poll = advance(sharing, submit)
    cancel(sharing.services, sharers[1])
    drive(sharing, poll)
    run = row_of(sharing, submit.ticket.job_id)
    for kind in ("accepted", "submitted", "cancelled", "succeeded"):
        for event in told(sharing, kind):
            named = {"id": str(run["id"]), "request_id": None if kind == "accepted" else run["request_id"]}
            assert event["shared_run"] == named, kind
    assert {event["request_id"] for event in told(sharing, "submitted")} == {run["request_id"]}


def test_whoever_comes_later_hears_what_the_others_heard(sharing: App) -> None:
    """That the run was submitted, or that a person must decide, in its words."""
    sharers, submit = send_all(sharing, 1)
    advance(sharing, submit)
    sharers.append(send(sharing)[0])
    assert [types_of(sharing, each) for each in sharers] == [["accepted", "submitted"]] * 2
    put_to_review(sharing, submit.ticket.job_id)
    sharers.append(send(sharing)[0])
    assert types_of(sharing, sharers[2]) == ["accepted", "review"]
    reviews = told(sharing, "review")
    assert {event["job_id"] for event in reviews} == set(sharers)
    assert {event["state"] for event in reviews} == {"sharing"}
    assert len({str(event["error"]) for event in reviews}) == 1


def test_who_asks_hears_how_the_run_stands(sharing: App, ask: Callable[[str], str]) -> None:
    """As of a job that has a run of its own; no ask writes an event."""
    sharers, submit = send_all(sharing, 2)
    assert ask(sharers[0]) == "accepted"
    poll = advance(sharing, submit)
    sharers.append(send(sharing)[0])
    count = rows(sharing, "SELECT count(*) FROM events")
    assert [ask(each) for each in sharers] == ["submitted"] * 3
    assert rows(sharing, "SELECT count(*) FROM events") == count
    drive(sharing, poll)
    assert [ask(each) for each in sharers] == ["succeeded"] * 3


def test_who_asks_hears_of_a_review(sharing: App, ask: Callable[[str], str]) -> None:
    """A person decides about the run."""
    sharers, submit = send_all(sharing, 2)
    advance(sharing, submit)
    put_to_review(sharing, submit.ticket.job_id)
    assert [ask(each) for each in sharers] == ["review"] * 2


def test_a_cost_that_nobody_was_told_is_told_the_next(sharing: App) -> None:
    """All who waited gave it up: whoever has it first pays for it, and after him nobody."""
    sharers, submit = send_all(sharing, 2)
    fetch = advance(sharing, advance(sharing, submit))
    for job_id in sharers:
        cancel(sharing.services, job_id)
    drive(sharing, fetch)
    cost = row_of(sharing, submit.ticket.job_id)["cost"]
    later = [send(sharing)[0] for _ in range(2)]
    assert [event["cost"]["amount"] for event in told(sharing, "succeeded")] == [float(cost), 0]
    assert [row_of(sharing, job_id)["cost"] for job_id in (*later, submit.ticket.job_id)] == [cost, 0, None]


def test_its_cost_is_one_jobs_though_the_reply_to_the_commit_of_its_end_was_lost(sharing: App) -> None:
    """The second try finds that the run was written, and adds nothing to what is paid."""
    _, submit = send_all(sharing, 3)
    poll = advance(sharing, submit)
    wait_until_due(sharing, poll)
    job = load(sharing.services, poll.step, poll.ticket)
    assert job
    kept = reads.keep(sharing.services, job, run(sharing.services, poll.step, job), time.monotonic())
    assert kept
    stored = run(sharing.services, Step.FETCH, kept.job)
    assert record(sharing.services, kept.job, stored, kept).version
    assert record(sharing.services, kept.job, stored, kept).version is None
    assert [row["cost"] for row in rows(sharing, "SELECT cost FROM jobs WHERE cost > 0")] == [Decimal("0.06")]
