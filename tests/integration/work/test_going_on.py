"""A run that is seen to be over is fetched in the same go: no message, no commit, and nobody else has its job."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.support.budgeted import SECOND, account_row, alter_account, job_row, make_scheduler
from tests.support.clock import Clock
from tests.support.in_process import row_of, wait_until_due
from tests.support.requests import rows
from worker import network
from worker.app import App
from worker.database import jobs
from worker.database.engine import transaction
from worker.database.tables import now
from worker.rules.job import Job
from worker.rules.lifecycle import EventType, FollowUp, JobState, Step
from worker.rules.outcome import Outcome
from worker.simulator import Simulator
from worker.work import executor, reads
from worker.work.cancelling import cancel
from worker.work.executor import execute, record, run
from worker.work.services import Services
from worker.work.taking import load

MINUTE = 60 * SECOND

Meanwhile = Callable[..., None]


@pytest.fixture(params=["the status", "the result"])
def app(app: App, request: pytest.FixtureRequest) -> App:
    """Provide an app whose looks go to the status or to the result, as it has learnt."""
    works = request.param == "the result"
    rows(app, f"UPDATE accounts SET single_look = {works}, single_look_at = sam3d_now() RETURNING name")
    return app


@pytest.fixture
def looked_at(app: App, submitted_job: FollowUp) -> FollowUp:
    """Provide a job whose next look tells that its run is over."""
    wait_until_due(app, submitted_job)
    return submitted_job


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Return what has something done before a step's calls, or after them."""

    def do(act: Callable[[], object], *, at: Step = Step.FETCH, is_after: bool = False) -> None:
        run_step = executor.run

        def run_with_it(services: Services, step: Step, job: Job) -> Outcome:
            if step is at and not is_after:
                act()
            outcome = run_step(services, step, job)
            if step is at and is_after:
                act()
            return outcome

        monkeypatch.setattr(executor, "run", run_with_it)

    return do


def polled(app: App, follow_up: FollowUp) -> tuple[Job, Outcome]:
    """Take a job and look at its run; nothing is written of what was seen."""
    job = load(app.services, follow_up.step, follow_up.ticket)
    assert job
    return job, run(app.services, follow_up.step, job)


def swept(app: App) -> list[FollowUp]:
    """Return the messages that a sweep sends."""
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.sweep()
    return sent


def test_one_message_takes_a_job_from_its_poll_to_its_end(app: App, looked_at: FollowUp, simulator: Simulator) -> None:
    """The row is written twice: taken, and over; each request to the vendor is counted."""
    with capture_logs() as logs:
        assert execute(app.services, looked_at.step, looked_at.ticket) is None
    row = row_of(app, looked_at.ticket.job_id)
    assert row["state"] == JobState.SUCCEEDED
    assert row["version"] == looked_at.ticket.version + 2
    calls = simulator.requests()["calls"]
    assert row["requests"] == sum(calls.get(each, {}).get("200", 0) for each in ("submit", "status", "result"))
    told = [(line["event"], line["trigger"]) for line in logs if line["event"].startswith("job_")]
    assert told == [("job_polled", "completed"), ("job_succeeded", "stored")]


def test_what_is_gone_on_with_is_what_the_row_would_say(app: App, looked_at: FollowUp) -> None:
    """It is neither written nor read."""
    job, outcome = polled(app, looked_at)
    kept = reads.keep(app.services, job, outcome, time.monotonic())
    assert kept
    assert record(app.services, job, kept.polled).version == job.version + 1
    with transaction(app.services.engine) as connection:
        found = jobs.find(connection, job.id)
    assert found
    assert kept.job == replace(found, observed_at=job.observed_at, version=job.version)


def test_the_end_has_what_the_poll_found(app: App, looked_at: FollowUp) -> None:
    """What the vendor said, its times and what it costs."""
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    [row] = rows(app, "SELECT metrics, cost, result, addresses, polls, remote_status FROM jobs")
    assert row["metrics"]["cost"] == float(row["cost"]) == 0.06
    assert row["result"]["said_by"] == "result"
    assert (row["addresses"], row["polls"], row["remote_status"]) == (None, 1, "COMPLETED")


def test_a_run_is_over_when_it_was_seen_to_be(
    app: App, looked_at: FollowUp, clock: Clock, meanwhile: Meanwhile
) -> None:
    """How long runs take is learnt of that, however long the download takes."""
    meanwhile(lambda: clock.advance(MINUTE))
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    row = job_row(app, looked_at.ticket)
    assert row["finished_at"] - row["completed_at"] > 55 * SECOND
    assert row["completed_at"] - row["submitted_at"] < 5 * SECOND


def test_where_the_end_does_not_come_the_poll_is_written_as_well(
    app: App, looked_at: FollowUp, simulator: Simulator
) -> None:
    """A host of files that fails is asked again where the files were, and not the vendor."""
    simulator.add_fault(call="download", kind="status", http_status=502, count=1)
    following = execute(app.services, looked_at.step, looked_at.ticket)
    assert following
    [row] = rows(app, "SELECT state, result, addresses FROM jobs")
    assert (following.step, row["state"]) == (Step.FETCH, JobState.FETCHING)
    assert row["addresses"]
    assert row["result"]["said_by"] == "result"
    asked = simulator.requests()["calls"]["result"]
    wait_until_due(app, following)
    assert execute(app.services, following.step, following.ticket) is None
    assert simulator.requests()["calls"]["result"] == asked


def test_nobody_else_has_it_meanwhile(app: App, looked_at: FollowUp, meanwhile: Meanwhile) -> None:
    """Its lease lasts for both, with all the time that a fetch may take before it, and the sweep sends no message."""
    sent: list[FollowUp] = []
    left: list[timedelta] = []

    def look() -> None:
        sent.extend(swept(app))
        left.extend(row["left"] for row in rows(app, "SELECT lease_until - sam3d_now() AS left FROM jobs"))

    meanwhile(look)
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    assert sent == []
    settings = app.services.settings.run
    assert settings.lease_for(Step.FETCH) < left[0] < settings.lease_for(Step.POLL, Step.FETCH)


def test_its_calls_end_before_its_lease(
    app: App, looked_at: FollowUp, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was frozen before its fetch has so much less time for that."""
    steady, ends_at = network._now, []
    began_at = steady()
    meanwhile(lambda: monkeypatch.setattr(network, "_now", lambda: steady() + 60), at=Step.POLL, is_after=True)
    meanwhile(lambda: ends_at.append(network._deadline.get()))
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    within = app.services.settings.run.time_for(Step.POLL, Step.FETCH).total_seconds()
    assert within - 1 < ends_at[0] - began_at < within + 1


def test_a_fetch_that_never_ends_is_looked_at_anew(
    app: App, looked_at: FollowUp, simulator: Simulator, meanwhile: Meanwhile
) -> None:
    """What its poll found is found again; five such ends in a row are no accident."""

    class Killed(BaseException):
        """The end of the process, here of its thread."""

    def kill() -> None:
        raise Killed

    meanwhile(kill)
    following, tries = [looked_at], 0
    while following:
        with pytest.raises(Killed):
            execute(app.services, following[0].step, following[0].ticket)
        [row] = rows(app, "SELECT state, polls, completed_at, result FROM jobs")
        assert row == {"state": "processing", "polls": 0, "completed_at": None, "result": None}
        rows(app, "UPDATE jobs SET lease_until = sam3d_now(), sweep_at = sam3d_now() RETURNING id")
        following, tries = swept(app), tries + 1
        assert [(each.step, each.ticket.version) for each in following if tries < 5] == [
            (Step.POLL, looked_at.ticket.version + tries) for _ in range(tries < 5)
        ]
    assert (tries, row_of(app, looked_at.ticket.job_id)["error_code"]) == (5, "worker_killed")
    assert len(simulator.ledger()) == 1


def test_a_commit_whose_reply_was_lost_was_made(app: App, looked_at: FollowUp) -> None:
    """The second try finds that the job was written, by whom it can't tell, and changes nothing."""
    job, outcome = polled(app, looked_at)
    kept = reads.keep(app.services, job, outcome, time.monotonic())
    assert kept
    stored = run(app.services, Step.FETCH, kept.job)
    assert [event.type for event in record(app.services, kept.job, stored, kept).events] == [EventType.SUCCEEDED]
    before = job_row(app, looked_at.ticket)
    again = record(app.services, kept.job, stored, kept)
    assert (again.version, again.events) == (None, ())
    assert job_row(app, looked_at.ticket) == before
    assert [row["name"] for row in rows(app, "SELECT name FROM outputs")] == ["model.glb"]


def test_nobody_waits_for_a_lease_where_that_reply_was_lost(
    app: App, looked_at: FollowUp, simulator: Simulator
) -> None:
    """What was committed was no end: the job is due as it says, and nobody has it."""
    simulator.add_fault(call="download", kind="status", http_status=502, count=1)
    job, outcome = polled(app, looked_at)
    kept = reads.keep(app.services, job, outcome, time.monotonic())
    assert kept
    snoozed = run(app.services, Step.FETCH, kept.job)
    first = record(app.services, kept.job, snoozed, kept)
    before = job_row(app, looked_at.ticket)
    assert record(app.services, kept.job, snoozed, kept).version is None
    assert job_row(app, looked_at.ticket) == before
    assert (before["version"], before["lease_until"], before["attempts"]) == (first.version, None, 1)


def test_it_can_be_cancelled_meanwhile(app: App, looked_at: FollowUp, meanwhile: Meanwhile) -> None:
    """What was downloaded is not written then; what the run cost, and what was said of it, is."""
    meanwhile(lambda: cancel(app.services, looked_at.ticket.job_id))
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    check_cancelled(app)


def test_it_can_be_cancelled_while_a_download_fails(
    app: App, looked_at: FollowUp, meanwhile: Meanwhile, simulator: Simulator
) -> None:
    """As well: neither the poll nor the try is written over it."""
    simulator.add_fault(call="download", kind="status", http_status=502, count=1)
    meanwhile(lambda: cancel(app.services, looked_at.ticket.job_id))
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    check_cancelled(app)


def check_cancelled(app: App) -> None:
    """Check that a job is cancelled, without files or their addresses, and that its run's cost is known."""
    assert rows(app, "SELECT 1 FROM outputs") == []
    [row] = rows(app, "SELECT state, metrics, cost, result, addresses FROM jobs")
    assert (row["state"], row["metrics"]["cost"], float(row["cost"])) == ("cancelled", 0.06, 0.06)
    assert row["result"]["said_by"] == "result"
    assert row["addresses"] is None


def test_a_worker_that_does_not_fetch_leaves_it_to_one_that_does(app: App, looked_at: FollowUp) -> None:
    """By a message, as workers are split by role; its lease is as long as a poll."""
    poller = replace(app.services, steps=[Step.POLL])
    following = execute(poller, looked_at.step, looked_at.ticket)
    assert following
    assert following.step is Step.FETCH
    assert row_of(app, looked_at.ticket.job_id)["lease_until"] is None
    rows(app, "UPDATE jobs SET state = 'processing', due_at = sam3d_now() RETURNING id")
    assert load(poller, Step.POLL, following.ticket)
    [row] = rows(app, "SELECT lease_until - sam3d_now() AS left FROM jobs")
    assert row["left"] < app.services.settings.run.lease_for(Step.POLL)


def test_a_poll_that_ends_a_hold_is_not_kept_back(app: App, looked_at: FollowUp) -> None:
    """Other runs are waited for: the account goes on before any file is downloaded, and a message fetches them."""
    alter_account(app, held_at=now, held_cause="key", held_message="x", stops_reads=True, probed_at=now)
    alter_account(app, probe_job_id=looked_at.ticket.job_id)
    following = execute(app.services, looked_at.step, looked_at.ticket)
    assert following
    assert (following.step, account_row(app)["held_at"]) == (Step.FETCH, None)
    assert rows(app, "SELECT type FROM events WHERE job_id IS NULL") == [{"type": EventType.ACCOUNT_RESUMED}]
    assert execute(app.services, following.step, following.ticket) is None
    assert row_of(app, looked_at.ticket.job_id)["state"] == JobState.SUCCEEDED
