"""What a look at a run leads to whose record is gone, unreadable, silent or without an output."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.reacting import NOW, aged, services_with
from worker.errors import HistoryMissing, RemoteRequestGone, RemoteUnavailable, Sam3dError
from worker.rules.expiry import LISTED, UNTOLD
from worker.rules.lifecycle import JobState, Step, Trigger
from worker.rules.outcome import Advance, Fail, Outcome, Snooze, decide
from worker.rules.run import Listed, RemoteStatus, RunResult, RunStatus
from worker.work import executor
from worker.work.looking import TRIES_APART


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
