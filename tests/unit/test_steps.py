"""What an error of a step leads to: come back later, fail, stop the account, or look in the history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import pytest

from worker import errors
from worker.config.environment import Settings
from worker.errors import (
    AccountHeld,
    ConfigurationError,
    HistoryMissing,
    HoldCause,
    InvalidMessage,
    NotSent,
    OutputBroken,
    OutputMissing,
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
    WaitTimeout,
)
from worker.rules.budget import Terms
from worker.rules.expiry import LISTED, UNTOLD
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket, Trigger, next_state
from worker.rules.outcome import Advance, Doubt, Fail, Hold, Limited, Outcome, Snooze, decide
from worker.rules.plan import PROMPT, make_plan
from worker.rules.retry import OUTPUT_LIFETIME
from worker.rules.run import Listed, RemoteStatus, RunResult, RunStatus
from worker.rules.survival import learn
from worker.work import executor, ledger, steps
from worker.work.changes import Recorded, follow_up
from worker.work.looking import TRIES_APART
from worker.work.reactions import react
from worker.work.services import Services

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)
HELD = AccountHeld(HoldCause.KEY, "The key is wrong.")
LIMITED = RemoteRateLimited("Too many.", NOW + timedelta(seconds=20))
PLAN = make_plan(learn((), 31.7), PROMPT)
SERVER_ERROR = SubmitUnknown("It answered 500.", 500)

RAISED = {
    JobState.SUBMITTING: [HELD, LIMITED, SERVER_ERROR, SubmitUnknown("x"), NotSent("x"), RemoteRefused("x")],
    JobState.PROCESSING: [HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x")],
    JobState.FETCHING: [
        HELD, LIMITED, RemoteUnavailable("x"), RemoteRequestGone("x"), RemoteJobFailed("x"), OutputBroken("x"),
        OutputUnusable("x"), OutputMissing("x"),
    ],
}  # fmt: skip
"""What each step may raise."""


@cache
def defaults() -> Settings:
    """Return the settings that nobody changed."""
    return Settings()


def services_with(vendor: object, **changes: object) -> Services:
    """Return what a step of this vendor works with: the default settings but for some."""
    settings = defaults().having(**changes)
    outlook = SimpleNamespace(terms=lambda: Terms(PLAN))
    return cast("Services", SimpleNamespace(settings=settings, vendor=vendor, outlook=outlook))


def aged(state: JobState, age: timedelta = timedelta(0), **counts: int) -> Job:
    """Return a job in this state with these counts, so long after its submit if that was answered."""
    submitted_at = None if state is JobState.SUBMITTING else NOW - age
    return replace(JOB, state=state, submitted_at=submitted_at, **cast("dict[str, Any]", counts))


def reaction(state: JobState, error: Sam3dError, age: timedelta = timedelta(0), **counts: int) -> Outcome:
    """Return what an error leads to."""
    return react(services_with(None), aged(state, age, **counts), error)


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
    assert leaves - listed == branches | {ConfigurationError, InvalidMessage, HistoryMissing, WaitTimeout}


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


def test_nothing_stands_between_a_paid_answer_and_its_commit() -> None:
    """The plan is asked for before the POST: whatever is wrong with it costs no money."""

    def broken() -> Terms:
        raise ZeroDivisionError

    services = services_with(SimpleNamespace(submit=lambda _: pytest.fail("it was sent")))
    services.outlook.terms = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        steps.submit(services, JOB)


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


@pytest.mark.parametrize(("step", "is_doubted"), [(Step.SUBMIT, True), (Step.POLL, False), (Step.FETCH, False)])
def test_a_bug_in_a_submit_is_in_doubt_too(monkeypatch: pytest.MonkeyPatch, step: Step, *, is_doubted: bool) -> None:
    """Whatever broke, a run may have been started; a read that breaks is a bug that is heard of."""

    def broken(*_: object) -> Outcome:
        raise RuntimeError("x")

    monkeypatch.setattr(steps, "RUN", dict.fromkeys(Step, broken))
    if is_doubted:
        assert executor.run(services_with(None), step, JOB) == Doubt("an error of the service")
    else:
        with pytest.raises(RuntimeError):
            executor.run(services_with(None), step, JOB)


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


def test_each_step_has_what_it_does() -> None:
    """A new step is not forgotten in the table."""
    assert set(steps.RUN) == set(Step)


def test_each_answer_to_a_submit_has_a_verdict() -> None:
    """The ledger has a word for whatever a submit can report."""
    by_others = {Trigger.UNTOLD, Trigger.CANCELLED}
    possible = {trigger for trigger in Trigger if next_state(JobState.SUBMITTING, trigger)} - by_others
    assert set(ledger.VERDICTS) == possible
    assert len(set(ledger.VERDICTS.values())) == len(possible)


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


def test_an_image_that_the_vendor_quotes_is_left_out() -> None:
    """Whatever is long and has no blanks is no sentence."""
    sentence = steps._why_failed(JOB, RunStatus(RemoteStatus.FAILED, {}, f"bad image {'iVBORw0KGgo' * 9}="))
    assert sentence.endswith("says: bad image …")


def test_what_the_vendor_says_is_cut_to_a_line() -> None:
    """A run's own error is told, without what could act on a terminal, and not at any length."""
    said = "no object\x1b[31m\n\0\ud800" + "x " * 500
    sentence = steps._why_failed(JOB, RunStatus(RemoteStatus.FAILED, {}, said))
    assert sentence.startswith("The run failed and was not charged. The vendor says: no object[31m x x x")
    assert sentence.isprintable()
    assert len(sentence) < 400


def test_what_the_vendor_quotes_is_not_told() -> None:
    """Neither the prompt nor an address, which may be signed, gets into a row or an event."""
    job = replace(JOB, parameters={"prompt": "a red cup"})
    run = RunStatus(RemoteStatus.FAILED, {}, "no 'a red cup' in https://files.example/in.png?sig=1 today")
    assert steps._why_failed(job, run).endswith("The vendor says: no '…' in … today")


class ForgetfulVendor:
    """Knows no request any more; its history lists what it is given, or raises it."""

    def __init__(self, listed: Listed | Sam3dError | None) -> None:
        self._listed = listed
        self.asked: list[bool] = []

    def status(self, request_id: str) -> RunStatus:
        """Answer 404."""
        raise RemoteRequestGone(request_id)

    def result(self, request_id: str) -> RunResult:
        """Answer 404."""
        raise RemoteRequestGone(request_id)

    def listed(self, _: str, *, wants_all: bool) -> Listed | None:
        """Look in the history."""
        self.asked.append(wants_all)
        if isinstance(self._listed, Sam3dError):
            raise self._listed
        return self._listed


EARLY, EXPIRED = timedelta(minutes=5), timedelta(hours=1)
OUTPUT = "https://files.segmind.com/model.glb"


def listed(status: RemoteStatus, error: str | None = None, *addresses: str) -> Listed:
    """Return a request of the history."""
    return Listed("run", NOW, status, None, None, 0.06, error, addresses)


def looked(
    vendor: ForgetfulVendor, age: timedelta, state: JobState = JobState.PROCESSING, looks: int = 0, **changes: object
) -> Outcome:
    """Return what a look at a forgotten run leads to, after so many that found nothing after its hour."""
    step = Step.POLL if state is JobState.PROCESSING else Step.FETCH
    return executor.run(services_with(vendor, **changes), step, aged(state, age, gone_looks=looks))


@pytest.mark.parametrize("age", [EARLY, EXPIRED])
def test_an_expired_record_is_found_in_the_history(age: timedelta) -> None:
    """Its status is the run's; the cost and where its output is are beside it."""
    outcome = looked(ForgetfulVendor(listed(RemoteStatus.COMPLETED, None, OUTPUT)), age)
    assert isinstance(outcome, Advance)
    assert (outcome.trigger, outcome.learnt.metrics) == (Trigger.COMPLETED, {"cost": 0.06})
    assert (outcome.learnt.addresses, OUTPUT in repr(outcome)) == ([OUTPUT], False)


def test_a_run_that_failed_is_told_by_the_history_too() -> None:
    """The hour of its record may pass while nobody polls."""
    outcome = looked(ForgetfulVendor(listed(RemoteStatus.FAILED, "no object")), EXPIRED)
    assert isinstance(outcome, Fail)
    assert (outcome.trigger, outcome.code) == (Trigger.ENDED, "remote_failed")
    assert outcome.message.endswith("The vendor says: no object")


@pytest.mark.parametrize("wants_all", [True, False])
def test_all_outputs_are_looked_for_whatever_was_asked_for(*, wants_all: bool) -> None:
    """Each has a row of its own."""
    vendor = ForgetfulVendor(None)
    job = replace(aged(JobState.PROCESSING, EXPIRED), parameters={"include_artifacts": wants_all})
    executor.run(services_with(vendor), Step.POLL, job)
    assert vendor.asked == [True]


NOWHERE: list[tuple[Sam3dError | None, dict[str, Any]]] = [
    (None, {}), (HistoryMissing("x"), {}), (None, {"SAM3D_HISTORY": "off"})
]  # fmt: skip


@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.FETCHING])
@pytest.mark.parametrize(("history", "changes"), NOWHERE, ids=["not listed", "no history", "history off"])
def test_a_run_that_is_nowhere_is_gone(history: Sam3dError | None, changes: dict[str, Any], state: JobState) -> None:
    """After its hour, and some looks in a row, one final state; the history is not asked where it is switched off."""
    vendor = ForgetfulVendor(history)
    outcomes = [looked(vendor, EXPIRED, state, looks, **changes) for looks in range(UNTOLD.count)]
    assert [type(each) for each in outcomes] == [Snooze] * (UNTOLD.count - 1) + [Fail]
    last = outcomes[-1]
    assert isinstance(last, Fail)
    assert (last.trigger, last.code, len(vendor.asked)) == (Trigger.ENDED, "remote_gone", UNTOLD.count * (not changes))


@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.FETCHING])
def test_before_its_hour_is_over_no_404_ends_a_job(state: JobState) -> None:
    """However often it came; and none of them counts for later."""
    outcome = looked(ForgetfulVendor(None), EXPIRED - timedelta(seconds=1), state, 99)
    assert isinstance(outcome, Snooze)
    assert (outcome.is_attempt, outcome.learnt.gone_looks) == (True, 0)


@pytest.mark.parametrize("status", [RemoteStatus.PROCESSING, RemoteStatus.UNRECOGNISED])
def test_a_run_that_its_history_still_has_is_waited_for(status: RemoteStatus) -> None:
    """For an hour more; what it made may be named yet."""
    outcomes = [looked(ForgetfulVendor(listed(status)), EXPIRED, looks=looks) for looks in range(LISTED.count)]
    assert [type(each) for each in outcomes] == [Snooze] * (LISTED.count - 1) + [Fail]


def test_a_run_that_was_last_seen_running_did_not_end() -> None:
    """It has a reason of its own."""
    job = replace(aged(JobState.PROCESSING, EXPIRED, gone_looks=9), running_at=NOW)
    outcome = executor.run(services_with(ForgetfulVendor(None)), Step.POLL, job)
    assert isinstance(outcome, Fail)
    assert outcome.code == "remote_timeout"


def test_a_history_that_is_down_is_asked_again() -> None:
    """The files are still there: no outage makes a job fail as gone."""
    outcome = looked(ForgetfulVendor(RemoteUnavailable("x")), EXPIRED, looks=30)
    assert isinstance(outcome, Snooze)
    assert outcome.is_attempt


class RunningVendor:
    """Has a run that does not end."""

    def status(self, _: str) -> RunStatus:
        """Answer that it runs."""
        return RunStatus(RemoteStatus.PROCESSING, {}, None)


@pytest.mark.parametrize("age", [EARLY, EXPIRED, timedelta(days=400)])
def test_no_age_ends_a_run_that_the_vendor_says_goes_on(age: timedelta) -> None:
    """One clock of ours may be wrong; failed looks before are forgotten."""
    job = aged(JobState.PROCESSING, age, attempts=9, gone_looks=2)
    outcome = executor.run(services_with(RunningVendor()), Step.POLL, job)
    assert isinstance(outcome, Snooze)
    columns = decide(JobState.PROCESSING, 9, outcome).learnt.columns()
    assert (columns["attempts"], columns["gone_looks"]) == (0, 0)


class SpeechlessVendor(ForgetfulVendor):
    """Answers, and never says how a run is: an error under 200, or a word that nobody knows."""

    def status(self, _: str) -> RunStatus:
        """Answer without a word."""
        return RunStatus(RemoteStatus.UNRECOGNISED, {}, "not found")

    def result(self, _: str) -> RunResult:
        """Answer without a word, and without an output."""
        return RunResult(self.status(""), ())


def test_a_run_of_which_nothing_is_ever_said_ends() -> None:
    """It goes on within its hour; after that it is no better known than where the vendor answers 404."""
    assert isinstance(looked(SpeechlessVendor(None), EXPIRED - timedelta(seconds=1), looks=99), Snooze)
    outcomes = [looked(SpeechlessVendor(None), EXPIRED, looks=looks) for looks in range(UNTOLD.count)]
    assert [type(each) for each in outcomes] == [Snooze] * (UNTOLD.count - 1) + [Fail]
    found = looked(SpeechlessVendor(listed(RemoteStatus.COMPLETED, None, OUTPUT)), EXPIRED)
    assert isinstance(found, Advance)
    assert found.trigger is Trigger.COMPLETED


class UnreadableVendor(ForgetfulVendor):
    """Can't show a run: its answers are 500."""

    def status(self, _: str) -> RunStatus:
        """Answer 500."""
        raise RemoteUnavailable("It answers 500.", 500)

    def result(self, _: str) -> RunResult:
        """Answer 500."""
        raise RemoteUnavailable("It answers 500.", 500)


class ReturningVendor(UnreadableVendor):
    """Says of a run that was over that it goes on."""

    def result(self, _: str) -> RunResult:
        """Answer that it runs."""
        return RunResult(RunStatus(RemoteStatus.PROCESSING, {}, None), ())


def outcomes_of(vendor: ForgetfulVendor, state: JobState) -> list[Outcome]:
    """Return what tries lead to after so many that failed."""
    step = Step.POLL if state is JobState.PROCESSING else Step.FETCH
    return [
        executor.run(services_with(vendor), step, aged(state, EARLY, attempts=tried))
        for tried in range(2 * TRIES_APART)
    ]


@pytest.mark.parametrize("vendor", [UnreadableVendor, ReturningVendor])
@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.FETCHING])
@pytest.mark.parametrize(
    "history", [None, listed(RemoteStatus.PROCESSING), listed(RemoteStatus.COMPLETED), HistoryMissing("x"),
    RemoteUnavailable("x")]
)  # fmt: skip
def test_a_run_that_can_not_be_read_is_looked_for_in_the_history(
    vendor: type[ForgetfulVendor], state: JobState, history: Any
) -> None:
    """Every few tries; where that does not help, the trouble is told that there is."""
    asked = vendor(history)
    outcomes = outcomes_of(asked, state)
    assert len(asked.asked) == 2
    assert {type(each) for each in outcomes} == {Snooze}
    assert len({each.reason for each in outcomes if isinstance(each, Snooze)}) == 1


def test_a_run_that_can_not_be_read_and_failed_is_told_by_the_history() -> None:
    """With its reason."""
    outcomes = outcomes_of(UnreadableVendor(listed(RemoteStatus.FAILED, "no object")), JobState.PROCESSING)
    assert [type(each) for each in outcomes[:TRIES_APART]] == [Snooze] * (TRIES_APART - 1) + [Fail]


class CompletedVendor(ForgetfulVendor):
    """Says that a run completed, and not where its output is."""

    def result(self, _: str) -> RunResult:
        """Answer without an output."""
        return RunResult(RunStatus(RemoteStatus.COMPLETED, {"cost": 0.06}, None), ())


@pytest.mark.parametrize(("age", "looks", "kind"), [(EARLY, 99, Snooze), (EXPIRED, 0, Snooze), (EXPIRED, 5, Fail)])
@pytest.mark.parametrize("found", [None, listed(RemoteStatus.COMPLETED)], ids=["not listed", "listed without it"])
def test_an_output_that_is_not_named_is_waited_for(
    found: Listed | None, age: timedelta, looks: int, kind: type[Outcome]
) -> None:
    """It may be a minute late; only after the hour was the run of no use."""
    outcome = looked(CompletedVendor(found), age, JobState.FETCHING, looks)
    assert isinstance(outcome, kind)
    assert getattr(outcome, "code", "output_unusable") == "output_unusable"


def test_a_result_that_is_forgotten_once_is_no_end() -> None:
    """Nor is a row of the history that has no address yet."""
    outcome = looked(ForgetfulVendor(listed(RemoteStatus.COMPLETED)), EARLY, JobState.FETCHING)
    assert isinstance(outcome, Snooze)
