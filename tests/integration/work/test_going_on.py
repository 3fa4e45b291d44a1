"""A run that is seen to be over is fetched in the same go: no message, and nobody else has the job in between."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.in_process import row_of, wait_until_due
from tests.support.kept import keeping
from tests.support.requests import rows
from worker.app import App
from worker.database import jobs
from worker.database.engine import transaction
from worker.rules.lifecycle import FollowUp, JobState, Step
from worker.simulator import Simulator
from worker.upkeep.scheduler import Scheduler
from worker.work import changes, executor
from worker.work.cancelling import cancel
from worker.work.changes import Recorded
from worker.work.executor import execute, record, run
from worker.work.taking import load


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


def _taken_and_recorded(app: App, follow_up: FollowUp) -> tuple[Callable[[], Recorded], Recorded]:
    job = load(app.services, follow_up.step, follow_up.ticket)
    assert job
    outcome = run(app.services, follow_up.step, job)
    return lambda: record(app.services, job, outcome), record(app.services, job, outcome)


def test_one_message_takes_a_job_from_its_poll_to_its_end(app: App, looked_at: FollowUp, simulator: Simulator) -> None:
    """The row is written three times: taken, seen to be over, stored; each request to the vendor is counted."""
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    row = row_of(app, looked_at.ticket.job_id)
    assert row["state"] == JobState.SUCCEEDED
    assert row["version"] == looked_at.ticket.version + 3
    calls = simulator.requests()["calls"]
    assert row["requests"] == sum(calls.get(each, {}).get("200", 0) for each in ("submit", "status", "result"))


def test_what_is_gone_on_with_is_what_the_row_says(app: App, looked_at: FollowUp) -> None:
    """It is not read again; what is long is written with the end alone."""
    _, recorded = _taken_and_recorded(app, looked_at)
    assert recorded.kept
    job, unwritten = recorded.kept.job, recorded.kept.unwritten
    with transaction(app.services.engine) as connection:
        found = jobs.find(connection, looked_at.ticket.job_id)
    assert found
    assert (found.addresses, found.metrics) == (None, None)
    written = {name: value for name, value in unwritten.columns().items() if name in {"addresses", "metrics"}}
    assert job == replace(found, observed_at=job.observed_at, **written)


def test_what_was_not_written_yet_is_written_with_the_end(app: App, looked_at: FollowUp) -> None:
    """What the vendor said, its times and what it costs."""
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    [row] = rows(app, "SELECT metrics, cost, result, addresses FROM jobs")
    assert row["metrics"]["cost"] == float(row["cost"]) == 0.06
    assert row["result"]["said_by"] == "result"
    assert row["addresses"] is None


def test_where_the_end_does_not_come_it_is_written_as_well(app: App, looked_at: FollowUp, simulator: Simulator) -> None:
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


def test_nobody_else_has_it_meanwhile(app: App, looked_at: FollowUp) -> None:
    """No message is sent for it, nor by the sweep as long as its worker lives."""
    _, recorded = _taken_and_recorded(app, looked_at)
    assert recorded.kept
    assert changes.follow_up(recorded.kept.job, recorded) is None
    sent: list[FollowUp] = []
    Scheduler(keeping(app.services, sent.append), dict).duties.sweep()
    assert sent == []


def test_it_is_given_back_where_the_reply_to_its_commit_was_lost(app: App, looked_at: FollowUp) -> None:
    """The second try finds that the job was written, by whom it can't tell: nobody waits for the end of the lease."""
    again, recorded = _taken_and_recorded(app, looked_at)
    assert recorded.kept
    assert again().version is None
    sent: list[FollowUp] = []
    Scheduler(keeping(app.services, sent.append), dict).duties.sweep()
    assert [(each.step, each.ticket) for each in sent] == [(Step.FETCH, recorded.kept.job.ticket)]
    assert execute(app.services, Step.FETCH, recorded.kept.job.ticket) is None
    assert row_of(app, looked_at.ticket.job_id)["state"] == JobState.SUCCEEDED


def test_it_can_be_cancelled_meanwhile(app: App, looked_at: FollowUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was downloaded is not written then; what the run cost, and what was said of it, is."""
    run_step = executor.run

    def cancelled_before(services: object, step: Step, job: object) -> object:
        if step is Step.FETCH:
            cancel(app.services, looked_at.ticket.job_id)
        return run_step(services, step, job)  # type: ignore[arg-type]

    monkeypatch.setattr(executor, "run", cancelled_before)
    assert execute(app.services, looked_at.step, looked_at.ticket) is None
    assert row_of(app, looked_at.ticket.job_id)["state"] == JobState.CANCELLED
    assert rows(app, "SELECT 1 FROM outputs") == []
    [row] = rows(app, "SELECT metrics, cost, result, addresses FROM jobs")
    assert (row["metrics"]["cost"], float(row["cost"])) == (0.06, 0.06)
    assert row["result"]["said_by"] == "result"
    assert row["addresses"] is None


def test_a_worker_that_does_not_fetch_leaves_it_to_one_that_does(app: App, looked_at: FollowUp) -> None:
    """By a message, as workers are split by role."""
    following = execute(replace(app.services, steps=[Step.POLL]), looked_at.step, looked_at.ticket)
    assert following
    assert following.step is Step.FETCH
    assert row_of(app, looked_at.ticket.job_id)["lease_until"] is None
