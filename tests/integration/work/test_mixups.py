"""Two submits that are answered with one run: who certainly had it first keeps it, else neither has it."""

from datetime import timedelta

import pytest

from tests.support.in_process import row_of
from tests.support.unanswered import app, finish_job, new_job, settle_all, state_of, submit_job, taken_job, verdicts_of
from worker.app import App
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, Step, Ticket, Trigger
from worker.rules.outcome import Advance, Learnt
from worker.simulator import Simulator
from worker.work.changes import Recorded
from worker.work.executor import record
from worker.work.taking import load

__all__ = ["app"]


def _started(app: App, job: Job) -> str:
    return app.services.vendor.submit(job.inputs).request_id


def _answer(app: App, job: Job, request_id: str) -> Recorded:
    told = Advance(
        Trigger.ANSWERED, learnt=Learnt(request_id=request_id, remote_status="QUEUED", tells_of_account=True)
    )
    return record(app.services, job, told)


def _states(app: App, *several: FollowUp) -> list[str]:
    return [state_of(app, each) for each in several]


@pytest.fixture
def mixed(app: App, simulator: Simulator) -> tuple[FollowUp, FollowUp, Job, Job, str]:
    """Provide two jobs that were under way at once: the first one's run was told to the second, which said so first."""
    first, second = new_job(app, "first"), new_job(app, "second")
    slow, quick = taken_job(app, first), taken_job(app, second)
    run = _started(app, slow)
    _answer(app, quick, run)
    assert _states(app, first, second) == ["submitting", "processing"]
    return first, second, slow, quick, run


Mixed = tuple[FollowUp, FollowUp, Job, Job, str]


def test_of_two_that_were_under_way_at_once_both_are_doubts(app: App, simulator: Simulator, mixed: Mixed) -> None:
    """Without a history a person decides about both; neither goes on with the run, nor does a third that is told it."""
    simulator.update(history_available=False)
    first, second, slow, _, run = mixed
    _answer(app, slow, run)
    assert _states(app, first, second) == ["submitting", "submitting"]
    assert (verdicts_of(app, first), verdicts_of(app, second)) == (["unknown"], ["unknown"])
    assert row_of(app, second.ticket.job_id)["request_id"] is None
    third = new_job(app, "third")
    _answer(app, taken_job(app, third), run.upper())
    assert settle_all(app) == []
    assert _states(app, first, second, third) == ["review", "review", "review"]


def test_the_history_tells_whose_it_is(app: App, simulator: Simulator, mixed: Mixed) -> None:
    """The one has the run that it started, the other the one that was started for it, though it was told another."""
    first, second, slow, quick, run = mixed
    own = _started(app, quick)
    _answer(app, slow, run)
    for poll in settle_all(app):
        finish_job(app, poll)
    assert _states(app, first, second) == ["succeeded", "succeeded"]
    assert [row_of(app, each.ticket.job_id)["request_id"] for each in (first, second)] == [run, own]
    assert len(simulator.ledger()) == 2


def test_a_look_that_is_under_way_changes_nothing(app: App, mixed: Mixed) -> None:
    """The run that is looked at is not the job's any more."""
    first, second, slow, _, run = mixed
    looking = load(app.services, Step.POLL, Ticket(second.ticket.job_id, second.ticket.version + 2))
    assert looking
    _answer(app, slow, run)
    over = Advance(Trigger.COMPLETED, learnt=Learnt(remote_status="COMPLETED"))
    assert record(app.services, looking, over).version is None
    assert _states(app, first, second) == ["submitting", "submitting"]


def test_a_commit_that_is_repeated_takes_nothing(app: App, mixed: Mixed) -> None:
    """Where the reply to the commit was lost the answer is written again, though nobody has the run any more."""
    first, second, slow, quick, run = mixed
    for job in (slow, slow, quick):
        _answer(app, job, run)
    assert (verdicts_of(app, first), verdicts_of(app, second)) == (["unknown"], ["unknown"])
    assert _states(app, first, second) == ["submitting", "submitting"]


def test_who_was_answered_before_the_other_was_sent_keeps_its_run(app: App, simulator: Simulator) -> None:
    """The later one is told a run that was there already: it alone is a doubt."""
    simulator.update(history_available=False)
    first, second = new_job(app, "first"), new_job(app, "second")
    poll = submit_job(app, first)
    run = str(row_of(app, first.ticket.job_id)["request_id"])
    _answer(app, taken_job(app, second), run)
    assert _states(app, first, second) == ["processing", "submitting"]
    finish_job(app, poll)
    assert settle_all(app) == []
    assert _states(app, first, second) == ["succeeded", "review"]


def test_one_that_has_ended_keeps_it_and_says_so(
    app: App, mixed: Mixed, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whether its model is its own is for a person to see, who is told where to look."""
    first, second, slow, _, run = mixed
    finish_job(app, FollowUp(Step.POLL, Ticket(second.ticket.job_id, second.ticket.version + 2), timedelta(0)))
    assert state_of(app, second) == "succeeded"
    _answer(app, slow, run)
    assert _states(app, first, second) == ["submitting", "succeeded"]
    told = capsys.readouterr().out + caplog.text
    assert "run_of_another" in told
