"""What a step reports becomes a change of its job, by the table of states."""

from collections.abc import Iterable
from datetime import timedelta
from typing import get_args

import pytest

from worker.errors import HoldCause
from worker.rules.lifecycle import JobState, Trigger, next_state
from worker.rules.outcome import Advance, Doubt, Fail, Hold, Learnt, Limited, Outcome, Snooze, decide

SOON = timedelta(seconds=7)

HELD = Hold(HoldCause.CREDITS, "The credits are used up.")

LIMITED = Limited(SOON, is_told=True, closes_reads=False)

IN_DOUBT = Doubt("It answered 500.", 500)


def outcomes(trigger: Trigger) -> Iterable[Outcome]:
    """Give each kind of outcome; those that name a trigger name this one."""
    return Advance(trigger, SOON), Fail(trigger, "code", "Why."), Snooze(SOON, "the run"), LIMITED, HELD, IN_DOUBT


def reported(state: JobState, outcome: Outcome) -> Trigger:
    """Return what an outcome says has happened."""
    match outcome:
        case Advance(trigger) | Fail(trigger):
            return trigger
        case Snooze() | Limited():
            return Trigger.NOT_SENT if state is JobState.SUBMITTING else Trigger.RUNNING
        case Hold():
            return Trigger.HELD
        case Doubt():
            return Trigger.UNKNOWN


@pytest.mark.parametrize("state", JobState)
def test_decide_follows_the_table(state: JobState) -> None:
    """An outcome moves a job as the table says; one that the state does not allow is a bug that is heard of."""
    for outcome in (outcome for trigger in Trigger for outcome in outcomes(trigger)):
        following = next_state(state, reported(state, outcome))
        if following is None:
            with pytest.raises(AssertionError, match=f"reported in {state}"):
                decide(state, 0, outcome)
        else:
            change = decide(state, 0, outcome)
            assert (change.state, change.trigger) == (following, reported(state, outcome))


def test_decide_is_total_over_outcomes() -> None:
    """The examples above are all the kinds of outcome there are."""
    assert {type(outcome) for outcome in outcomes(Trigger.TAKEN)} == set(get_args(Outcome))


@pytest.mark.parametrize("is_attempt", [True, False])
def test_only_a_failed_try_uses_up_an_attempt(*, is_attempt: bool) -> None:
    """A snooze counts a failed try, and nothing for a run that goes on."""
    change = decide(JobState.PROCESSING, 4, Snooze(SOON, "the run", is_attempt, Learnt(polls=9)))
    assert change.learnt.columns() == {"polls": 9, "attempts": 4 + is_attempt, "waits_for": "the run"}
    assert change.due_in == SOON


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING])
def test_a_hold_uses_up_no_attempt(state: JobState) -> None:
    """The account is stopped, the job waits, and its row says for what."""
    change = decide(state, 4, HELD)
    assert change.hold == HELD
    assert change.learnt.columns() == {"waits_for": "account held: credits"}


def test_a_doubt_uses_up_no_attempt() -> None:
    """The submit waits to be looked up, and its row says for what; what came is for the ledger."""
    change = decide(JobState.SUBMITTING, 4, IN_DOUBT)
    assert change.doubt == IN_DOUBT
    assert change.due_in == timedelta(0)
    assert change.learnt.columns() == {"waits_for": "the vendor's request history: It answered 500."}


def test_a_failure_leaves_its_evidence() -> None:
    """The code and the sentence are written beside what the step learnt."""
    change = decide(JobState.PROCESSING, 0, Fail(Trigger.ENDED, "remote_failed", "Why.", Learnt(polls=3)))
    assert change.learnt.columns() == {"polls": 3, "error_code": "remote_failed", "error_message": "Why."}
