"""One job, one step, against a real database and the simulator: each write is fenced, each step safe to run twice."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.in_process import advance, row_of, wait_until_due
from tests.support.kept import keeping
from worker.app import App
from worker.database import jobs, reading
from worker.database.engine import transaction
from worker.rules.lifecycle import FollowUp, JobState, Step, Trigger
from worker.rules.outcome import Advance, Learnt
from worker.simulator import Simulator
from worker.upkeep.scheduler import Scheduler
from worker.work.executor import execute, record
from worker.work.taking import load, wait_out


def _history(app: App, job_id: str) -> list[str]:
    with transaction(app.services.engine) as connection:
        return [str(event["type"]).rpartition(".")[2] for event in reading.history(connection, job_id)]


def _scheduler(app: App, sent: list[FollowUp]) -> Scheduler:
    return Scheduler(keeping(app.services, sent.append), dict)


def _close_until(app: App, time: str) -> None:
    with transaction(app.services.engine) as connection:
        connection.execute(text(f"UPDATE accounts SET closed_until = {time}"))


def _make_overdue(app: App) -> None:
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET sweep_at = sam3d_now() - interval '1 minute'"))
        connection.execute(text("UPDATE jobs SET lease_until = sweep_at WHERE lease_until IS NOT NULL"))


def test_a_job_travels(app: App, simulator: Simulator, completed_job: FollowUp) -> None:
    """Submit, poll, fetch: three requests and a download, one bill, three events, one file."""
    assert completed_job.step is Step.FETCH
    assert execute(app.services, completed_job.step, completed_job.ticket) is None
    row = row_of(app, completed_job.ticket.job_id)
    assert (row["state"], row["polls"]) == (JobState.SUCCEEDED, 1)
    assert _history(app, completed_job.ticket.job_id) == ["accepted", "submitted", "succeeded"]
    assert len(simulator.ledger()) == 1
    assert simulator.requests()["total"] == 4


def test_a_ticket_submits_once(app: App, simulator: Simulator, accepted_job: FollowUp) -> None:
    """However many workers get the same message at the same time, one POST is made."""
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: execute(app.services, accepted_job.step, accepted_job.ticket), range(8)))
    assert len([follow_up for follow_up in done if follow_up]) == 1
    assert simulator.requests()["calls"]["submit"] == {"200": 1}


def test_the_intent_is_committed_before_the_post(app: App, simulator: Simulator, accepted_job: FollowUp) -> None:
    """What a worker that dies right after taking the job leaves behind is a submission without an answer."""
    job = load(app.services, Step.SUBMIT, accepted_job.ticket)
    assert job
    assert row_of(app, job.id)["state"] == JobState.SUBMITTING
    with transaction(app.services.engine) as connection:
        (submission,) = reading.submissions_of(connection, job.id)
    assert (submission["token"], submission["answered_at"]) == (job.token, None)
    assert simulator.requests()["total"] == 0


@pytest.mark.parametrize("call", ["status", "result", "download"])
def test_a_read_that_fails_is_made_again(app: App, simulator: Simulator, submitted_job: FollowUp, call: str) -> None:
    """A 502 to a read is a snooze; the job succeeds once the vendor answers again."""
    simulator.add_fault(call=call, kind="status", http_status=502, count=1)
    follow_up: FollowUp | None = submitted_job
    while follow_up:
        follow_up = execute(app.services, follow_up.step, follow_up.ticket)
    assert row_of(app, submitted_job.ticket.job_id)["state"] == JobState.SUCCEEDED


def test_no_credits_hold_the_account_not_the_job(app: App, simulator: Simulator, accepted_job: FollowUp) -> None:
    """The job waits without an attempt used up; one probe a minute resumes the account after the top-up."""
    simulator.update(credits=0, credits_status=406)
    assert execute(app.services, accepted_job.step, accepted_job.ticket) is None
    row = row_of(app, accepted_job.ticket.job_id)
    assert (row["state"], row["attempts"]) == (JobState.ACCEPTED, 0)
    _make_overdue(app)
    sent: list[FollowUp] = []
    scheduler = _scheduler(app, sent)
    scheduler.duties.sweep()
    scheduler.duties.probe()
    assert sent == [], "neither the sweep nor a probe within the minute sends it"

    simulator.update(credits=10)
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE accounts SET probed_at = probed_at - interval '2 minutes'"))
    scheduler.duties.probe()
    (probe,) = sent
    assert advance(app, probe).step is Step.POLL
    with transaction(app.services.engine) as connection:
        assert reading.held_accounts(connection) == []
        kinds = connection.execute(text("SELECT type FROM events WHERE job_id IS NULL ORDER BY position")).scalars()
        assert list(kinds) == ["sam3d.account.held", "sam3d.account.resumed"]


def test_the_sweep_sends_a_lost_message_again(app: App, submitted_job: FollowUp) -> None:
    """A row that nobody works on is driven with the version it has, later each time."""
    _make_overdue(app)
    sent: list[FollowUp] = []
    scheduler = _scheduler(app, sent)
    scheduler.duties.sweep()
    scheduler.duties.sweep()
    assert [follow_up.ticket for follow_up in sent] == [submitted_job.ticket]


def test_a_message_goes_on_whose_account_opens_just_then(app: App, accepted_job: FollowUp) -> None:
    """It could not be taken, and is due when it is to be put off: it is neither late nor stale."""
    _close_until(app, "sam3d_now() + interval '1 hour'")
    assert load(app.services, Step.SUBMIT, accepted_job.ticket) is None
    _close_until(app, "NULL")
    assert wait_out(app.services, Step.SUBMIT, accepted_job.ticket) == accepted_job
    _make_overdue(app)
    assert wait_out(app.services, Step.SUBMIT, accepted_job.ticket) is None, "the sweep sends it"
    assert advance(app, accepted_job).step is Step.POLL
    assert wait_out(app.services, Step.SUBMIT, accepted_job.ticket) is None, "it is stale"


def test_a_job_that_kills_its_workers_is_put_to_review(app: App, submitted_job: FollowUp) -> None:
    """Five leases in a row that ran out are no accident."""
    wait_until_due(app, submitted_job)
    ticket = submitted_job.ticket
    sent: list[FollowUp] = []
    for _ in range(5):
        assert load(app.services, Step.POLL, ticket)
        _make_overdue(app)
        _scheduler(app, sent).duties.sweep()
        ticket = sent[-1].ticket
    row = row_of(app, ticket.job_id)
    assert (row["state"], row["error_code"], len(sent)) == (JobState.REVIEW, "worker_killed", 4)


def test_a_worker_that_was_taken_over_writes_nothing(app: App, submitted_job: FollowUp) -> None:
    """Its change is fenced by the version."""
    wait_until_due(app, submitted_job)
    late = load(app.services, Step.POLL, submitted_job.ticket)
    assert late
    _make_overdue(app)
    sent: list[FollowUp] = []
    _scheduler(app, sent).duties.sweep()
    advance(app, sent[0])
    outcome = Advance(Trigger.COMPLETED, learnt=Learnt(polls=99))
    recorded = record(app.services, late, outcome)
    assert (recorded.version, recorded.events) == (None, ())
    assert row_of(app, late.id)["polls"] == 1


def test_cancelled_jobs_stay_cancelled(app: App, submitted_job: FollowUp) -> None:
    """The message that was under way finds nothing to do."""
    with transaction(app.services.engine) as connection:
        assert jobs.cancel(connection, submitted_job.ticket.job_id)
    assert execute(app.services, submitted_job.step, submitted_job.ticket) is None
    assert row_of(app, submitted_job.ticket.job_id)["state"] == JobState.CANCELLED


def test_a_refused_probe_waits_for_the_next_minute(app: App, simulator: Simulator, accepted_job: FollowUp) -> None:
    """The job that was let through waits like the others again: the sweep does not send it."""
    simulator.update(team_limit_period="monthly")
    execute(app.services, accepted_job.step, accepted_job.ticket)
    sent: list[FollowUp] = []
    scheduler = _scheduler(app, sent)
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE accounts SET probed_at = probed_at - interval '2 minutes'"))
    scheduler.duties.probe()
    assert execute(app.services, sent[0].step, sent[0].ticket) is None
    _make_overdue(app)
    scheduler.duties.sweep()
    scheduler.duties.probe()
    assert len(sent) == 1
    assert simulator.requests()["calls"]["submit"] == {"406": 2}
