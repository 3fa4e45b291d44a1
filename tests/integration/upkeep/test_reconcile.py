"""Submits without an answer, against a real database and the simulator's request history: looked up, not guessed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest.mock import Mock
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from tests.support.budgeted import count_calls
from tests.support.in_process import row_of
from tests.support.kept import keeping
from tests.support.unanswered import (
    app,
    finish_job,
    new_job,
    settle_all,
    state_of,
    submit_job,
    taken_job,
    verdicts_of,
    with_settings,
)
from worker.app import App
from worker.database import reading
from worker.database.engine import Connection, DatabaseError, Engine, transaction
from worker.errors import Sam3dError
from worker.rules.lifecycle import FollowUp, JobState, Step, Trigger
from worker.rules.outcome import Advance, Doubt, Learnt, Snooze
from worker.simulator import Simulator
from worker.upkeep.lookup import Lookup
from worker.vendor import api, paging
from worker.vendor.api import PAGE_TRIES
from worker.vendor.body import write_body
from worker.vendor.paging import MAX_UNREAD_PAGES
from worker.work import decisions
from worker.work.cancelling import cancel
from worker.work.executor import record
from worker.work.services import Services
from worker.work.taking import load

__all__ = ["app"]

UNANSWERED = Doubt("no answer")


def _pass(app: App, minutes: float = 2) -> None:
    """Let time pass for leases and intents."""
    gone = f"interval '{minutes} minutes'"
    with transaction(app.services.engine) as connection:
        connection.execute(text(f"UPDATE jobs SET lease_until = lease_until - {gone}, due_at = due_at - {gone}"))
        connection.execute(
            text(f"UPDATE submissions SET intended_at = intended_at - {gone}, answered_at = answered_at - {gone}")
        )


def _die(app: App) -> None:
    """End the processes whose submits have no answer."""
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE submissions SET session = -1 WHERE answered_at IS NULL"))


def _history(app: App, job: FollowUp) -> list[str]:
    with transaction(app.services.engine) as connection:
        events = reading.history(connection, job.ticket.job_id)
    return [str(event["type"]).rpartition(".")[2] for event in events]


def test_a_dropped_answer_is_found_in_the_history(app: App, simulator: Simulator) -> None:
    """The vendor started the run and the connection broke: it is adopted and goes on as any other."""
    job = new_job(app)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    assert submit_job(app, job) is None
    assert state_of(app, job) == JobState.SUBMITTING
    (poll,) = settle_all(app)
    finish_job(app, poll)
    assert (state_of(app, job), verdicts_of(app, job)) == (JobState.SUCCEEDED, ["adopted"])
    assert _history(app, job) == ["accepted", "submitted", "succeeded"]
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize("answered_before", [True, False], ids=["after others", "the first of all"])
def test_a_run_goes_on_by_the_id_that_the_api_knows(app: App, simulator: Simulator, *, answered_before: bool) -> None:
    """The history leaves the dashes out, and is away when the run is polled and its result is fetched."""
    if answered_before:
        submit_job(app, new_job(app))
    simulator.update(history_dashless=True)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    job = new_job(app)
    submit_job(app, job)
    (poll,) = settle_all(app)
    simulator.update(history_available=False)
    finish_job(app, poll)
    assert state_of(app, job) == JobState.SUCCEEDED
    assert str(row_of(app, job.ticket.job_id)["request_id"]) in {run["request_id"] for run in simulator.ledger()}


@pytest.mark.parametrize("wrapping", ["list", "data", "items"])
def test_however_the_page_is_wrapped(app: App, simulator: Simulator, wrapping: str) -> None:
    """A bare list and an object that holds one are read alike."""
    simulator.update(history_wrapping=wrapping)
    job = new_job(app)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_job(app, job)
    assert [each.step for each in settle_all(app)] == [Step.POLL]


def test_a_history_of_many_pages_is_read_in_turns(
    app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on the page that was read is found at once; that there is none is proven once all pages were read."""
    monkeypatch.setattr(api, "MAX_PAGES", 1)
    monkeypatch.setattr(paging, "PAGE_SIZES", (1,))
    lost, billed, later = new_job(app, "lost"), new_job(app, "billed"), new_job(app, "later")
    simulator.add_fault(call="submit", kind="reset", count=1)
    submit_job(app, lost)
    _die(app)
    submit_job(app, later)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_job(app, billed)
    lookup, found = Lookup(app.services), []
    for _ in range(4):  # Two runs, and an empty page that is asked for twice.
        found.append([each.step for each in settle_all(app, lookup)])
        with transaction(app.services.engine) as connection:
            connection.execute(text("UPDATE jobs SET due_at = now() WHERE state = 'submitting'"))
    assert found == [[Step.POLL], [], [], [Step.SUBMIT]]
    assert (verdicts_of(app, billed), verdicts_of(app, lost)) == (["adopted"], ["absent"])
    assert count_calls(simulator, "history") == 4


def test_what_never_arrived_is_submitted_once_more(app: App, simulator: Simulator) -> None:
    """Its worker is gone, a later submit is listed and this one is not: no run was started."""
    lost = new_job(app, "lost")
    taken_job(app, lost)
    _pass(app)
    _die(app)
    submit_job(app, new_job(app, "later"))
    (again,) = settle_all(app)
    assert again.step is Step.SUBMIT
    finish_job(app, again)
    assert (state_of(app, lost), verdicts_of(app, lost)) == (JobState.SUCCEEDED, ["absent", "accepted"])
    assert len(simulator.ledger()) == 2


def test_nothing_is_absent_while_its_worker_lives(app: App, simulator: Simulator) -> None:
    """A process that was frozen before its POST may still send it; what it reports when it wakes is heard."""
    frozen = new_job(app, "frozen")
    job = taken_job(app, frozen)
    _pass(app)
    submit_job(app, new_job(app, "later"))
    assert settle_all(app) == []
    assert state_of(app, frozen) == JobState.SUBMITTING
    record(app.services, job, Snooze(timedelta(0), "it was not sent"))
    assert state_of(app, frozen) == JobState.ACCEPTED


def test_nothing_is_absent_before_the_row_may_have_landed(app: App, simulator: Simulator) -> None:
    """The settle delay is waited for."""
    with_settings(app, SAM3D_RECONCILE_SETTLE=timedelta(minutes=10))
    lost = new_job(app, "lost")
    record(app.services, taken_job(app, lost), UNANSWERED)
    _pass(app)
    submit_job(app, new_job(app, "later"))
    assert settle_all(app) == []


def test_nothing_is_absent_without_a_later_submit(app: App, simulator: Simulator) -> None:
    """An empty history proves nothing: it may be late. In the end a person decides."""
    lost = new_job(app, "lost")
    record(app.services, taken_job(app, lost), UNANSWERED)
    assert settle_all(app) == []
    _pass(app, minutes=20)
    assert settle_all(app) == []
    assert (state_of(app, lost), verdicts_of(app, lost)) == (JobState.REVIEW, ["unresolved"])
    assert _history(app, lost) == ["accepted", "review"]


def test_who_is_asked_about_in_vain_is_submitted_again(app: App, simulator: Simulator) -> None:
    """It was the last submit for a while; the next one proves that it started none, before a person came to it."""
    lost = new_job(app, "lost")
    record(app.services, taken_job(app, lost), UNANSWERED)
    _pass(app, minutes=20)
    assert settle_all(app) == []
    assert state_of(app, lost) == JobState.REVIEW
    submit_job(app, new_job(app, "later"))
    (again,) = settle_all(app)
    assert (again.ticket.job_id, again.step, verdicts_of(app, lost)) == (lost.ticket.job_id, Step.SUBMIT, ["absent"])
    finish_job(app, again)
    assert _history(app, lost) == ["accepted", "review", "submitted", "succeeded"]
    assert len(simulator.ledger()) == 2


def test_who_has_a_run_stays_in_review(app: App, simulator: Simulator) -> None:
    """What a person is asked about a run that is known is not decided by the history."""
    job = new_job(app, "refused")
    submit_job(app, job)
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET state = 'review'"))
        connection.execute(text("UPDATE submissions SET verdict = 'unresolved', run = NULL, request_id = NULL"))
    submit_job(app, new_job(app, "later"))
    assert settle_all(app) == []
    assert state_of(app, job) == JobState.REVIEW


def test_a_job_is_absent_three_times_at_most(app: App, simulator: Simulator) -> None:
    """Whatever makes it disappear, it does not go on for ever."""
    lost = new_job(app, "lost")
    record(app.services, taken_job(app, lost), UNANSWERED)
    submit_job(app, new_job(app, "later"))
    for number in range(3):
        (again,) = settle_all(app)
        record(app.services, taken_job(app, again), UNANSWERED)
        submit_job(app, new_job(app, f"later still {number}"))
    _pass(app, minutes=20)
    assert settle_all(app) == []
    assert state_of(app, lost) == JobState.REVIEW


def test_equal_inputs_share_what_is_listed(app: App, simulator: Simulator) -> None:
    """Of four jobs with the same inputs two lost their answers: each has a run in the end, and none has two."""
    simulator.add_fault(call="submit", kind="drop_answer", skip=1, count=2)
    sent = [new_job(app, "same") for _ in range(4)]
    following = [submit_job(app, job) for job in sent]
    for follow_up in [*following, *settle_all(app)]:
        finish_job(app, follow_up)
    assert {state_of(app, job) for job in sent} == {JobState.SUCCEEDED}
    ids = {row_of(app, job.ticket.job_id)["request_id"] for job in sent}
    assert len(ids) == len(simulator.ledger()) == 4


def test_who_loses_the_race_for_a_run_looks_again(app: App, simulator: Simulator) -> None:
    """A run that was adopted by a job of equal inputs is no answer for the one that started it: there is another."""
    first, second = new_job(app, "same"), new_job(app, "same")
    slow = taken_job(app, first)
    submitted = app.services.vendor.submit(slow.inputs)
    record(app.services, taken_job(app, second), UNANSWERED)
    (poll,) = settle_all(app)
    assert poll.ticket.job_id == second.ticket.job_id
    answer = Advance(Trigger.ANSWERED, learnt=Learnt(request_id=submitted.request_id))
    assert record(app.services, slow, answer).change.trigger is Trigger.UNKNOWN
    assert state_of(app, first) == JobState.SUBMITTING
    submit_job(app, new_job(app, "later"))
    (again,) = settle_all(app)
    finish_job(app, again)
    finish_job(app, poll)
    assert {state_of(app, first), state_of(app, second)} == {JobState.SUCCEEDED}
    assert len(simulator.ledger()) == 3


def test_a_run_that_was_given_back_may_be_its_own(app: App, simulator: Simulator) -> None:
    """The history shows another photo than was sent, cut as large ones may be: nobody pays for a second run."""
    for number in range(3):
        submit_job(app, new_job(app, f"as sent {number}"))
    cut = new_job(app, "cut")
    submit_job(app, cut)
    with transaction(app.services.engine) as connection:
        sent = "jsonb_set(inputs, '{image}', '\"long:whole\"')"
        connection.execute(text(f"UPDATE submissions SET inputs = {sent} WHERE job_id = '{cut.ticket.job_id}'"))
    lost = new_job(app, "lost")
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_job(app, lost)
    (poll,) = settle_all(app)
    assert (poll.ticket.job_id, state_of(app, cut)) == (lost.ticket.job_id, JobState.SUBMITTING)
    submit_job(app, new_job(app, "later"))
    assert settle_all(app) == []
    _pass(app, minutes=20)
    assert settle_all(app) == []
    assert (state_of(app, cut), verdicts_of(app, cut)) == (JobState.REVIEW, ["unresolved"])
    assert len(simulator.ledger()) == 6


def test_others_of_the_team_keep_their_runs(app: App, simulator: Simulator) -> None:
    """A colleague's run of the same inputs is not ours, once the history has shown who we are."""
    known, lost = new_job(app, "known"), new_job(app, "same")
    job = taken_job(app, lost)
    foreign = {"request_id": str(uuid4()), "request_body": json.loads(b"".join(write_body(job.inputs)))}
    httpx.post(f"{simulator.url}/_simulator/history", json=foreign).raise_for_status()
    record(app.services, job, UNANSWERED)
    submit_job(app, known)
    (again,) = settle_all(app)
    assert again.step is Step.SUBMIT


def test_without_a_history_a_person_decides(app: App, simulator: Simulator) -> None:
    """The account host does not answer as known: nothing is sent again, an event and an error line say so."""
    simulator.update(history_available=False)
    job = new_job(app)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_job(app, job)
    assert settle_all(app) == []
    row = row_of(app, job.ticket.job_id)
    assert (row["state"], row["error_code"]) == (JobState.REVIEW, "submit_unknown")
    assert _history(app, job) == ["accepted", "review"]
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize(
    ("setting", "state", "posts"), [("retry", JobState.SUCCEEDED, 2), ("review", JobState.REVIEW, 1)]
)
def test_without_a_history_a_5xx_follows_the_setting(
    app: App, simulator: Simulator, setting: str, state: JobState, posts: int
) -> None:
    """The vendor's documentation says that a submit answered with a 5xx may be sent again."""
    with_settings(app, SAM3D_SUBMIT_SERVER_ERROR=setting)
    simulator.update(history_available=False)
    simulator.add_fault(call="submit", kind="status", http_status=502, count=1)
    job = new_job(app)
    submit_job(app, job)
    for follow_up in settle_all(app):
        _pass(app)
        finish_job(app, follow_up)
    assert state_of(app, job) == state
    assert sum(simulator.requests()["calls"]["submit"].values()) == posts


def test_a_history_that_is_down_is_waited_for(app: App, simulator: Simulator) -> None:
    """A 502 of the account host is no reason to ask a person yet."""
    simulator.add_fault(call="history", kind="status", http_status=502, count=PAGE_TRIES * MAX_UNREAD_PAGES)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    job = new_job(app)
    submit_job(app, job)
    assert settle_all(app) == []
    assert state_of(app, job) == JobState.SUBMITTING
    _pass(app)
    assert [each.step for each in settle_all(app)] == [Step.POLL]


ANSWER = Advance(Trigger.ANSWERED, learnt=Learnt(request_id="late-1"))


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (ANSWER, JobState.PROCESSING),
        (Snooze(timedelta(0), "it was not sent"), JobState.ACCEPTED),
    ],
)
def test_a_late_answer_moves_a_job_on_from_review(
    app: App, simulator: Simulator, outcome: Advance | Snooze, state: JobState
) -> None:
    """A worker that wakes up after its job was given up knows what nobody else does."""
    simulator.update(history_available=False)
    job = new_job(app)
    taken = taken_job(app, job)
    _pass(app, minutes=20)
    settle_all(app)
    assert state_of(app, job) == JobState.REVIEW
    recorded = record(app.services, taken, outcome)
    assert (recorded.version, state_of(app, job)) == (None, state)


def test_a_late_answer_spares_the_second_submit(app: App, simulator: Simulator) -> None:
    """A job that waits to be submitted again goes on with the run that it turns out to have."""
    job = new_job(app)
    taken = taken_job(app, job)
    _pass(app)
    _die(app)
    submit_job(app, new_job(app, "later"))
    (again,) = settle_all(app)
    record(app.services, taken, ANSWER)
    assert state_of(app, job) == JobState.PROCESSING
    assert submit_job(app, again) is None


def test_an_answer_to_a_cancelled_job_is_kept(app: App, simulator: Simulator) -> None:
    """The run goes on and is paid: the ledger says which it is."""
    job = new_job(app)
    taken = taken_job(app, job)
    assert cancel(app.services, job.ticket.job_id)
    record(app.services, taken, ANSWER)
    with transaction(app.services.engine) as connection:
        (submission,) = reading.submissions_of(connection, job.ticket.job_id)
    assert (submission["verdict"], submission["request_id"]) == ("accepted", "late-1")
    assert state_of(app, job) == JobState.CANCELLED


@contextmanager
def _commit_unseen(engine: Engine) -> Iterator[Connection]:
    """Let a commit reach the database, and its confirmation not the worker."""
    with transaction(engine) as connection:
        yield connection
    raise DatabaseError("the connection broke")


def test_an_intent_that_can_not_be_seen_is_withdrawn(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply to COMMIT is lost: nothing is sent, and the job is as if nobody had taken it."""
    job = new_job(app)
    engine = app.services.engine
    begin = Mock(side_effect=[_commit_unseen(engine), transaction(engine)])
    monkeypatch.setattr("worker.work.intent.transaction", begin)
    monkeypatch.setattr("worker.work.intent.buy", lambda *_, **__: None)
    with pytest.raises(DatabaseError):
        load(app.services, Step.SUBMIT, job.ticket)
    assert (state_of(app, job), verdicts_of(app, job)) == (JobState.ACCEPTED, ["not_started"])


def _in_review(app: App, simulator: Simulator) -> FollowUp:
    simulator.update(history_available=False)
    job = new_job(app)
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    submit_job(app, job)
    settle_all(app)
    return job


def _unlisted(_: str) -> None:
    """Find no run: what its history says is another test's."""


Decide = Callable[[Services, str, str], JobState]


@pytest.mark.parametrize(
    ("decide_it", "verdict", "runs"),
    [
        (lambda services, job_id, run: decisions.adopt(services, job_id, run, _unlisted), "adopted", 1),
        (lambda services, job_id, _: decisions.resubmit(services, job_id), "absent", 2),
    ],
)
def test_a_person_decides(app: App, simulator: Simulator, decide_it: Decide, verdict: str, runs: int) -> None:
    """What was decided goes on at once, and the ledger says that a person did."""
    job = _in_review(app, simulator)
    sent: list[FollowUp] = []
    decide_it(keeping(app.services, sent.append), job.ticket.job_id, simulator.ledger()[0]["request_id"])
    finish_job(app, sent[0])
    assert (state_of(app, job), verdicts_of(app, job)[0]) == (JobState.SUCCEEDED, verdict)
    assert len(simulator.ledger()) == runs


def test_a_person_gives_a_job_up(app: App, simulator: Simulator) -> None:
    """It fails, is announced, and can't be decided a second time."""
    job = _in_review(app, simulator)
    decisions.give_up(app.services, job.ticket.job_id)
    assert (state_of(app, job), _history(app, job)) == (JobState.FAILED, ["accepted", "review", "failed"])
    with pytest.raises(Sam3dError, match="only a job in review"):
        decisions.give_up(app.services, job.ticket.job_id)


def test_nobody_adopts_the_run_of_another_job(app: App, simulator: Simulator) -> None:
    """A run is one job's."""
    job = _in_review(app, simulator)
    simulator.update(history_available=True)
    other = new_job(app, "other")
    submit_job(app, other)
    run = str(row_of(app, other.ticket.job_id)["request_id"])
    with pytest.raises(Sam3dError, match="Another job has the run"):
        decisions.adopt(app.services, job.ticket.job_id, run, _unlisted)
