"""Which step a worker takes at once of a job that it has in hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.errors import HoldCause
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, JobState, Step, Trigger
from worker.rules.onward import GOES_ON_WITH, goes_on, in_one_go, is_named, is_over, keep
from worker.rules.outcome import Advance, Doubt, Fail, Hold, Learnt, Lesson, Limited, Outcome, Snooze, decide
from worker.rules.run import RemoteStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLLED = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)
ADDRESSES = ["https://files/model.glb"]
NAMED = Learnt(addresses=ADDRESSES, metrics={"cost": 0.06}, cost=0.06, result={"body": {}}, polls=3)
OVER = Advance(Trigger.COMPLETED, learnt=NAMED)
UNNAMED = Advance(Trigger.COMPLETED, learnt=Learnt(polls=3))


def test_a_run_that_is_over_is_fetched_by_whoever_saw_it() -> None:
    """Nothing is waited for."""
    assert is_over(OVER)
    assert goes_on(POLLED, OVER)
    assert DRIVEN_BY[decide(POLLED.state, 0, OVER).state] is GOES_ON_WITH


@pytest.mark.parametrize("learnt", [Learnt(), Learnt(addresses=[])])
def test_a_result_that_is_to_be_asked_for_needs_a_slot(learnt: Learnt) -> None:
    """Where reads draw from the budget; one whose files the look has named is not asked for."""
    assert not is_named(Advance(Trigger.COMPLETED, learnt=learnt))
    assert is_named(OVER)


def test_what_an_account_in_trouble_or_the_service_waits_for_is_not_kept_back() -> None:
    """The end of a hold, what a 429 taught, how looks are answered: a download may take a minute and more."""
    assert not goes_on(replace(POLLED, is_in_trouble=True), OVER)
    assert not goes_on(POLLED, replace(OVER, lesson=Lesson(single_look=True)))
    assert not goes_on(POLLED, replace(OVER, due_in=SECOND))


@pytest.mark.parametrize(
    "outcome",
    [
        Snooze(SECOND, "the run"),
        Fail(Trigger.ENDED, "code", "message"),
        Hold(HoldCause.KEY, "refused"),
        Limited(SECOND, is_told=True, closes_reads=True),
        Doubt("no answer"),
        Advance(Trigger.STORED),
        Advance(Trigger.ANSWERED, learnt=Learnt(request_id="run")),
    ],
)
def test_everything_else_waits_for_its_message(outcome: Outcome) -> None:
    """A try that failed needs time, and whoever is not over is looked at again."""
    assert not is_over(outcome)


def test_a_job_is_taken_for_all_that_its_worker_may_do_of_it() -> None:
    """One that polls alone, or fetches what others polled, does one thing."""
    everything = [*Step, "accept"]
    assert [in_one_go(step, everything) for step in Step] == [
        (Step.SUBMIT,),
        (Step.POLL, Step.FETCH),
        (Step.FETCH,),
    ]
    assert in_one_go(Step.POLL, ["submit", "poll"]) == (Step.POLL,)


def test_what_is_kept_is_known_as_if_it_were_written() -> None:
    """When the run was seen to be over is counted from the take, by a clock that does not step."""
    kept = keep(replace(POLLED, attempts=2, gone_looks=1, requests=1), OVER, 2 * SECOND)
    assert kept.job == replace(
        POLLED, state=JobState.FETCHING, polls=3, requests=1, metrics={"cost": 0.06}, addresses=ADDRESSES
    )
    assert kept.polled.learnt == NAMED | Learnt(completed_at=NOW + 2 * SECOND)


@pytest.mark.parametrize(("learnt", "before", "made"), [(Learnt(), 1, 2), (Learnt(requests=4), 1, 5)])
def test_the_request_for_the_result_is_counted_as_no_take_counts_it(learnt: Learnt, before: int, made: int) -> None:
    """Beside those that the look made."""
    kept = keep(replace(POLLED, requests=before), Advance(Trigger.COMPLETED, learnt=learnt), SECOND)
    assert (kept.job.requests, kept.polled.learnt.requests) == (made, made)


def test_an_end_is_written_with_what_the_poll_found() -> None:
    """Where both know something, what was learnt later counts."""
    kept = keep(POLLED, replace(OVER, learnt=NAMED | Learnt(remote_status=RemoteStatus.COMPLETED)), SECOND)
    stored = Advance(Trigger.STORED, learnt=Learnt(metrics={"cost": 0.07}, kept={}, tells_of_account=True))
    assert kept.with_end(stored) == replace(stored, learnt=kept.polled.learnt | stored.learnt)
    failed = Fail(Trigger.ENDED, "output_invalid", "no model")
    assert kept.with_end(failed) == replace(failed, learnt=kept.polled.learnt)


@pytest.mark.parametrize(
    "outcome",
    [
        Snooze(SECOND, "a file"),
        Hold(HoldCause.KEY, "refused"),
        Limited(SECOND, is_told=True, closes_reads=True),
        Doubt("it has another's run"),
    ],
)
def test_what_is_no_end_is_written_after_what_the_poll_found(outcome: Outcome) -> None:
    """As the job stays in the state that the poll led to."""
    assert keep(POLLED, OVER, SECOND).with_end(outcome) is None
