"""What an error of a step leads to: come back later, fail, stop the account, or ask a person."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker import errors, executor, steps
from worker.answers import RemoteStatus, RunStatus
from worker.config import Settings
from worker.errors import (
    AccountHeld,
    ConfigurationError,
    HoldCause,
    InvalidMessage,
    NotSent,
    OutputBroken,
    OutputUnusable,
    PermanentError,
    RemoteJobFailed,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
    TransientError,
)
from worker.job import Job
from worker.lifecycle import (
    Advance,
    Fail,
    FollowUp,
    Hold,
    JobState,
    Outcome,
    Snooze,
    Step,
    Ticket,
    Trigger,
    decide,
    next_state,
)
from worker.services import Services
from worker.steps import BROKEN_FILES, react

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, 0, "run", NOW, NOW)
HELD = AccountHeld(HoldCause.KEY, "The key is wrong.")
LIMITED = RemoteRateLimited("Too many.", NOW + timedelta(seconds=20))
SERVER_ERROR = SubmitUnknown("It answered 500.", is_server_error=True)

RAISED = {
    JobState.SUBMITTING: [HELD, LIMITED, SERVER_ERROR, SubmitUnknown("x"), NotSent("x"), RemoteRefused("x")],
    JobState.PROCESSING: [HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x")],
    JobState.FETCHING: [
        HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x"), RemoteJobFailed("x"), OutputBroken("x"),
        OutputUnusable("x"),
    ],
}  # fmt: skip
"""What each step may raise."""


@cache
def defaults() -> Settings:
    """Return the settings that nobody changed."""
    return Settings()


def services_with(**changes: object) -> Services:
    """Return what ``react`` looks at: the settings."""
    return cast("Services", SimpleNamespace(settings=defaults().model_copy(update=changes)))


def reaction(
    state: JobState, error: Sam3dError, counts: dict[str, int] | None = None, *, age: float = 0, **changes: object
) -> Outcome:
    """Return what an error leads to, for a job of this age in seconds with these counts."""
    job = replace(JOB, state=state, submitted_at=NOW - timedelta(seconds=age), **cast("dict[str, Any]", counts or {}))
    return react(services_with(**changes), job, error)


@pytest.mark.parametrize(("state", "error"), [(state, error) for state, each in RAISED.items() for error in each])
def test_each_error_is_decided_where_it_can_happen(state: JobState, error: Sam3dError) -> None:
    """The job comes into a state that the table allows, however old it is and often it failed."""
    for attempts, age in product((0, 100), (0, 4000)):
        change = decide(state, attempts, reaction(state, error, {"attempts": attempts}, age=age))
        assert change.state in {state, JobState.ACCEPTED, JobState.FAILED, JobState.REVIEW}
        assert (change.state is JobState.REVIEW) <= isinstance(error, SubmitUnknown)


def test_no_error_is_forgotten() -> None:
    """The lists above have each error of the tree that a step can raise."""
    listed = {type(error) for each in RAISED.values() for error in each}
    leaves = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Sam3dError)}
    assert leaves - listed == {Sam3dError, TransientError, PermanentError, ConfigurationError, InvalidMessage}


@pytest.mark.parametrize("error", [ConfigurationError("x"), InvalidMessage("image", "x"), Sam3dError("x")])
def test_what_no_step_may_raise_is_a_bug(error: Sam3dError) -> None:
    """It is not taken for an outcome."""
    with pytest.raises(type(error)):
        reaction(JobState.PROCESSING, error)


@pytest.mark.parametrize(
    ("state", "seconds"), [(JobState.SUBMITTING, 0), (JobState.PROCESSING, 60), (JobState.FETCHING, 60)]
)
def test_a_refused_account_is_held(state: JobState, seconds: int) -> None:
    """Nothing is wrong with the job. A run does not wait for the account: it is looked at again in a minute."""
    assert reaction(state, HELD) == Hold(HoldCause.KEY, "The key is wrong.", timedelta(seconds=seconds))


@pytest.mark.parametrize("state", RAISED)
def test_a_closed_window_uses_up_no_attempt(state: JobState) -> None:
    """The job waits for the time that the vendor named."""
    assert reaction(state, LIMITED) == Snooze(timedelta(seconds=20), "the vendor's request limit")


@pytest.mark.parametrize("attempts", [0, 1, 50])
def test_what_was_not_sent_is_sent_again(attempts: int) -> None:
    """As often as it takes: it costs nothing."""
    outcome = reaction(JobState.SUBMITTING, NotSent("x"), {"attempts": attempts})
    assert isinstance(outcome, Snooze)
    assert outcome.is_attempt


def test_an_unknown_submit_is_for_a_person() -> None:
    """It is never sent again by itself."""
    assert reaction(JobState.SUBMITTING, SubmitUnknown("x")) == Fail(Trigger.UNKNOWN, "submit_unknown", "x")


@pytest.mark.parametrize(("server_errors", "is_repeated"), [(0, True), (1, True), (2, False), (9, False)])
def test_a_server_error_is_sent_again_in_all_three_times(server_errors: int, *, is_repeated: bool) -> None:
    """The vendor says that it may be repeated; after the last time a person has to look."""
    outcome = reaction(JobState.SUBMITTING, SERVER_ERROR, {"attempts": 9, "server_errors": server_errors})
    assert isinstance(outcome, Snooze if is_repeated else Fail)
    assert decide(JobState.SUBMITTING, 9, outcome).state is (JobState.ACCEPTED if is_repeated else JobState.REVIEW)


def test_a_server_error_is_for_a_person_if_the_operator_says_so() -> None:
    """Who does not trust the vendor's word sets it to review."""
    outcome = reaction(JobState.SUBMITTING, SERVER_ERROR, sam3d_submit_server_error="review")
    assert outcome == Fail(Trigger.UNKNOWN, "submit_unknown", "It answered 500.")


def test_refused_parameters_fail_the_job() -> None:
    """Its sender has to act."""
    assert reaction(JobState.SUBMITTING, RemoteRefused("x")) == Fail(Trigger.REFUSED, "remote_refused", "x")


@pytest.mark.parametrize(("age", "is_over"), [(0, False), (3299, False), (3301, True)])
def test_a_run_that_can_not_be_read_is_given_up_at_its_deadline(age: float, *, is_over: bool) -> None:
    """Until then each failed look is tried again."""
    outcome = reaction(JobState.PROCESSING, RemoteUnavailable("x"), {"attempts": 30}, age=age)
    assert isinstance(outcome, Fail if is_over else Snooze)


@pytest.mark.parametrize("broken_files", range(BROKEN_FILES))
def test_a_broken_output_is_fetched_again_a_few_times(broken_files: int) -> None:
    """Then it is what was paid for, and the evidence is told."""
    outcome = reaction(JobState.FETCHING, OutputBroken("x"), {"broken_files": broken_files})
    assert isinstance(outcome, Fail if broken_files + 1 == BROKEN_FILES else Snooze)


def test_an_output_that_does_not_arrive_is_not_given_up() -> None:
    """The file is kept for days; an outage of its host is no reason to lose what was paid for."""
    assert isinstance(reaction(JobState.FETCHING, RemoteUnavailable("x"), {"attempts": 1000}), Snooze)


@pytest.mark.parametrize("error", [OutputUnusable("x"), RemoteRequestGone("x"), RemoteJobFailed("x")])
def test_what_no_try_can_mend_ends_the_job(error: PermanentError) -> None:
    """The code says what, the sentence why."""
    assert reaction(JobState.FETCHING, error) == Fail(Trigger.ENDED, error.code, "x")


def test_each_step_has_what_it_does() -> None:
    """A new step is not forgotten in the table."""
    assert set(steps.RUN) == set(Step)


def test_each_answer_to_a_submit_has_a_verdict() -> None:
    """The ledger has a word for whatever a submit can report."""
    by_others = {Trigger.KILLED, Trigger.CANCELLED}
    possible = {trigger for trigger in Trigger if next_state(JobState.SUBMITTING, trigger)} - by_others
    assert set(executor.VERDICTS) == possible
    assert len(set(executor.VERDICTS.values())) == len(possible)


@pytest.mark.parametrize(
    ("state", "outcome", "step"),
    [
        (JobState.SUBMITTING, Advance(Trigger.ANSWERED, timedelta(seconds=25)), Step.POLL),
        (JobState.SUBMITTING, Snooze(timedelta(seconds=25), "x"), Step.SUBMIT),
        (JobState.PROCESSING, Snooze(timedelta(seconds=25), "x"), Step.POLL),
        (JobState.PROCESSING, Advance(Trigger.COMPLETED, timedelta(seconds=25)), Step.FETCH),
        (JobState.FETCHING, Snooze(timedelta(seconds=25), "x"), Step.FETCH),
        (JobState.PROCESSING, Hold(HoldCause.KEY, "x", timedelta(seconds=25)), Step.POLL),
        (JobState.FETCHING, Hold(HoldCause.KEY, "x", timedelta(seconds=25)), Step.FETCH),
    ],
)
def test_what_follows_a_step(state: JobState, outcome: Outcome, step: Step) -> None:
    """The step that the new state waits for, when it is due, with the new version."""
    following = executor.follow_up(JOB, decide(state, 0, outcome), 8)
    assert following == FollowUp(step, Ticket("job", 8), timedelta(seconds=25))


@pytest.mark.parametrize(
    ("state", "outcome", "version"),
    [
        pytest.param(JobState.FETCHING, Advance(Trigger.STORED), 8, id="it is over"),
        pytest.param(JobState.SUBMITTING, Fail(Trigger.UNKNOWN, "x", "x"), 8, id="a person has to look"),
        pytest.param(JobState.SUBMITTING, Hold(HoldCause.KEY, "x"), 8, id="it waits for its account"),
        pytest.param(JobState.PROCESSING, Snooze(timedelta(0), "x"), None, id="another worker has it"),
    ],
)
def test_what_nothing_follows(state: JobState, outcome: Outcome, version: int | None) -> None:
    """No message is sent for a job that waits for something else than a worker."""
    assert executor.follow_up(JOB, decide(state, 0, outcome), version) is None


def test_what_the_vendor_says_is_cut_to_a_line() -> None:
    """A run's own error is told, without what could act on a terminal, and not at any length."""
    said = "no object\x1b[31m\n\0\ud800" + "x" * 1000
    sentence = steps._why_failed(JOB, RunStatus(RemoteStatus.FAILED, {}, said))
    assert sentence.startswith("The run failed and was not charged. The vendor says: no object[31mxxx")
    assert sentence.isprintable()
    assert len(sentence) < 400


def test_what_the_vendor_quotes_is_not_told() -> None:
    """Neither the prompt nor an address, which may be signed, gets into a row or an event."""
    job = replace(JOB, parameters={"prompt": "a red cup"})
    run = RunStatus(RemoteStatus.FAILED, {}, "no 'a red cup' in https://files.example/in.png?sig=1 today")
    assert steps._why_failed(job, run).endswith("The vendor says: no '…' in … today")
