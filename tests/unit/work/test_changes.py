"""What follows a step that was recorded: the next one, or nothing."""

from datetime import timedelta

import pytest

from tests.support.reacting import JOB
from worker.errors import HoldCause
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket, Trigger
from worker.rules.outcome import Advance, Doubt, Hold, Outcome, Snooze, decide
from worker.work.changes import Recorded, follow_up


@pytest.mark.parametrize(
    ("state", "outcome", "step"),
    [
        (JobState.SUBMITTING, Advance(Trigger.ANSWERED, timedelta(seconds=25)), Step.POLL),
        (JobState.SUBMITTING, Snooze(timedelta(seconds=25), "x"), Step.SUBMIT),
        (JobState.PROCESSING, Snooze(timedelta(seconds=25), "x"), Step.POLL),
        (JobState.PROCESSING, Advance(Trigger.COMPLETED, timedelta(seconds=25)), Step.FETCH),
        (JobState.FETCHING, Snooze(timedelta(seconds=25), "x"), Step.FETCH),
    ],
)
def test_what_follows_a_step(state: JobState, outcome: Outcome, step: Step) -> None:
    """The step that the new state waits for, when it is due, with the new version."""
    following = follow_up(JOB, Recorded(decide(state, 0, outcome), 8, []))
    assert following == FollowUp(step, Ticket("job", 8), timedelta(seconds=25))


@pytest.mark.parametrize(
    ("state", "outcome", "version"),
    [
        pytest.param(JobState.FETCHING, Advance(Trigger.STORED), 8, id="it is over"),
        pytest.param(JobState.SUBMITTING, Doubt("x"), 8, id="it is looked up"),
        pytest.param(JobState.SUBMITTING, Hold(HoldCause.KEY, "x"), 8, id="it waits for its account"),
        pytest.param(JobState.PROCESSING, Hold(HoldCause.KEY, "x"), 8, id="its poll waits for the account"),
        pytest.param(JobState.FETCHING, Hold(HoldCause.KEY, "x"), 8, id="its fetch waits for the account"),
        pytest.param(JobState.PROCESSING, Snooze(timedelta(0), "x"), None, id="another worker has it"),
    ],
)
def test_what_nothing_follows(state: JobState, outcome: Outcome, version: int | None) -> None:
    """No message is sent for a job that waits for something else than a worker."""
    assert follow_up(JOB, Recorded(decide(state, 0, outcome), version, [])) is None
