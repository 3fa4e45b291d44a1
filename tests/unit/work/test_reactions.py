"""What an error of a step leads to: come back later, fail, stop the account, or look in the history."""

from datetime import timedelta
from itertools import product

import pytest

from tests.support.reacting import NOW, reaction
from worker import errors
from worker.errors import (
    AccountHeld,
    ConfigurationError,
    HistoryMissing,
    HoldCause,
    InvalidMessage,
    NotSent,
    OutputBroken,
    OutputInvalid,
    OutputMissing,
    OutputUnusable,
    PermanentError,
    RemoteJobFailed,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    RetryRefused,
    Sam3dError,
    StoreUnavailable,
    SubmitUnknown,
    TransientError,
    WaitTimeout,
)
from worker.rules.lifecycle import JobState, Trigger
from worker.rules.outcome import Doubt, Fail, Hold, Limited, Snooze, decide
from worker.rules.retry import OUTPUT_LIFETIME

HELD = AccountHeld(HoldCause.KEY, "The key is wrong.")
LIMITED = RemoteRateLimited("Too many.", NOW + timedelta(seconds=20))
SERVER_ERROR = SubmitUnknown("It answered 500.", 500)

RAISED = {
    JobState.SUBMITTING: [HELD, LIMITED, SERVER_ERROR, SubmitUnknown("x"), NotSent("x"), RemoteRefused("x")],
    JobState.PROCESSING: [HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x")],
    JobState.FETCHING: [
        HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x"), RemoteJobFailed("x"), OutputBroken("x"),
        OutputUnusable("x"), OutputMissing("x"), StoreUnavailable("x"),
        OutputInvalid("x"),
    ],
}  # fmt: skip
"""What each step may raise."""


@pytest.mark.parametrize(("state", "error"), [(state, error) for state, each in RAISED.items() for error in each])
def test_each_error_is_decided_where_it_can_happen(state: JobState, error: Sam3dError) -> None:
    """The job comes into a state that the table allows, however old it is and often it failed."""
    for attempts, age in product((0, 100), (timedelta(0), timedelta(hours=2), timedelta(days=8))):
        change = decide(state, attempts, reaction(state, error, age, attempts=attempts))
        assert change.state in {state, JobState.ACCEPTED, JobState.FAILED}
        assert (change.doubt is not None) == isinstance(error, SubmitUnknown)


def test_no_error_is_forgotten() -> None:
    """The lists above have each error of the tree that a step can raise."""
    listed = {type(error) for each in RAISED.values() for error in each}
    leaves = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Sam3dError)}
    branches = {Sam3dError, TransientError, PermanentError}
    assert leaves - listed == branches | {ConfigurationError, InvalidMessage, HistoryMissing, RetryRefused, WaitTimeout}


@pytest.mark.parametrize(
    "error",
    [ConfigurationError("x"), InvalidMessage("image", "x"), HistoryMissing("x"), WaitTimeout("x"), Sam3dError("x")],
)
def test_what_no_step_may_raise_is_a_bug(error: Sam3dError) -> None:
    """It is not taken for an outcome."""
    with pytest.raises(type(error)):
        reaction(JobState.PROCESSING, error)


@pytest.mark.parametrize("state", RAISED)
def test_a_refused_account_is_held(state: JobState) -> None:
    """Nothing is wrong with the job, however far it is."""
    assert reaction(state, HELD) == Hold(HoldCause.KEY, "The key is wrong.")


@pytest.mark.parametrize("state", RAISED)
def test_a_closed_window_uses_up_no_attempt(state: JobState) -> None:
    """The job waits for the time that the vendor named."""
    limited = reaction(state, LIMITED)
    assert limited == Limited(timedelta(seconds=20), is_told=True, closes_reads=state is not JobState.SUBMITTING)
    change = decide(state, 7, limited)
    assert (change.due_in, change.limited) == (timedelta(seconds=20), limited)
    assert "attempts" not in change.learnt.columns()


@pytest.mark.parametrize("attempts", [0, 1, 50])
def test_what_was_not_sent_is_sent_again(attempts: int) -> None:
    """As often as it takes: it costs nothing."""
    outcome = reaction(JobState.SUBMITTING, NotSent("x"), attempts=attempts)
    assert isinstance(outcome, Snooze)
    assert outcome.is_attempt


@pytest.mark.parametrize("attempts", [0, 100])
@pytest.mark.parametrize(("error", "status"), [(SERVER_ERROR, 500), (SubmitUnknown("It answered 500."), None)])
def test_an_unknown_submit_is_in_doubt(error: SubmitUnknown, status: int | None, attempts: int) -> None:
    """No step repeats it, a 5xx as little as a time-out: first the request history is asked."""
    outcome = reaction(JobState.SUBMITTING, error, attempts=attempts)
    assert outcome == Doubt("It answered 500.", status)
    assert decide(JobState.SUBMITTING, attempts, outcome).state is JobState.SUBMITTING


def test_refused_parameters_fail_the_job() -> None:
    """Its sender has to act."""
    assert reaction(JobState.SUBMITTING, RemoteRefused("x")) == Fail(Trigger.REFUSED, "remote_refused", "x")


@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.FETCHING])
@pytest.mark.parametrize(("late", "is_over"), [(timedelta(0), False), (timedelta(seconds=1), True)])
def test_a_run_that_can_not_be_read_is_given_up_with_its_files(
    state: JobState, late: timedelta, *, is_over: bool
) -> None:
    """An outage of hours loses nothing that was paid for: the files are kept for a week."""
    outcome = reaction(state, RemoteUnavailable("x"), OUTPUT_LIFETIME + late, attempts=30)
    assert isinstance(outcome, Fail if is_over else Snooze)


def test_an_output_that_does_not_arrive_is_not_given_up() -> None:
    """The file is kept for days; an outage of its host is no reason to lose what was paid for."""
    assert isinstance(reaction(JobState.FETCHING, RemoteUnavailable("x"), attempts=1000), Snooze)


@pytest.mark.parametrize("error", [OutputUnusable("x"), RemoteJobFailed("x")])
def test_what_no_try_can_mend_ends_the_job(error: PermanentError) -> None:
    """The code says what, the sentence why."""
    assert reaction(JobState.FETCHING, error) == Fail(Trigger.ENDED, error.code, "x")
