"""What becomes of a submit without an answer: adopted, sent again once, looked up again, or for a person."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product

import pytest

from worker.config.environment import Settings
from worker.database.doubts import Submission, Unanswered
from worker.database.submissions import Answered
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger, Verdict
from worker.rules.outcome import Advance, Fail, Outcome, decide
from worker.rules.plan import PROMPT, make_plan
from worker.rules.proof import NO_ANSWER, NO_HISTORY, Doubted, Finding, Gap, Proof
from worker.rules.run import Listed, RemoteStatus
from worker.rules.survival import learn
from worker.work.conclusion import conclude, doubted_of, submission_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB = Job("job", "default", JobState.SUBMITTING, 2, {}, {}, 0, 0, 0, None, None, NOW)
SESSION = 7
MARKS = {"image": "text:digest"}
RUN = Listed("run", NOW - 10 * SECOND, RemoteStatus.PROCESSING, MARKS, "me", None, None, ())
FOUND = Proof(Finding.FOUND, request=RUN, made_at=RUN.created_at)
ABSENT = Proof(Finding.ABSENT)
OPEN = Proof(Finding.OPEN, Gap.MAY_LAND)
PLAN = make_plan(learn((), 31.7), PROMPT)
ALONE = Proof(Finding.OPEN, Gap.NO_LATER_SUBMIT)


@cache
def defaults() -> Settings:
    """Return the settings that nobody changed."""
    return Settings()


SETTLE, DEADLINE = timedelta(minutes=5), timedelta(minutes=15)
FRESH, YOUNG, OLD = SETTLE - SECOND, DEADLINE - SECOND, DEADLINE
"""How long ago the submit was over: before the history settles, before it is for a person, and just then."""


def made(http_status: int | None = None, verdict: str | None = "unknown", age: timedelta = YOUNG) -> Submission:
    """Return a submit that was over so long ago."""
    at = NOW - age
    return Submission(
        "token",
        SESSION,
        MARKS,
        False,
        at,
        at if verdict else None,
        http_status,
        Verdict(verdict) if verdict else None,
    )


def concluded(
    proof: Proof, *submits: Submission, alive: frozenset[int] = frozenset(), **changes: object
) -> tuple[Answered | None, Outcome | None]:
    """Return what a proof leads to."""
    settings = defaults().having(**{"SAM3D_RECONCILE_DEADLINE": DEADLINE, **changes})
    what = Unanswered(JOB, submits or (made(),))
    return conclude(what, doubted_of(what, set(alive), settings), proof, settings, PLAN, SETTLE)


ADOPTED, ABSENT_ONCE, AGAIN, RETRIED, REVIEW = "adopted", "absent", "look again", "retried", "review"


def told(what: tuple[Answered | None, Outcome | None]) -> str:
    """Return which of the five ends this is, having checked that its two halves agree."""
    match what:
        case (None, None):
            return AGAIN
        case (None, Advance(Trigger.NOT_SENT)):
            return RETRIED
        case (Answered("absent", None), Advance(Trigger.NOT_SENT)):
            return ABSENT_ONCE
        case (Answered("adopted", str()), Advance(Trigger.ANSWERED)):
            return ADOPTED
        case (Answered("unresolved", None), Fail(Trigger.UNTOLD, "submit_unknown")):
            return REVIEW
    raise AssertionError(what)


UNDECIDED = [
    # The proof, the answers to its submits, how old the last is, the setting: what becomes of it.
    (OPEN, [None], YOUNG, "retry", AGAIN),
    (OPEN, [None], OLD, "retry", REVIEW),
    (OPEN, [500], YOUNG, "retry", AGAIN),
    (OPEN, [500], OLD, "retry", REVIEW),
    (ALONE, [500], OLD, "retry", RETRIED),
    (ALONE, [500], OLD, "review", REVIEW),
    (ALONE, [None], OLD, "retry", REVIEW),
    (OPEN, [500], OLD, "review", REVIEW),
    (OPEN, [202], OLD, "retry", REVIEW),
    (OPEN, [302], OLD, "retry", REVIEW),
    (NO_ANSWER, [None], YOUNG, "retry", AGAIN),
    (NO_ANSWER, [None], OLD, "retry", REVIEW),
    (NO_ANSWER, [504], YOUNG, "retry", AGAIN),
    (NO_ANSWER, [504], OLD, "retry", REVIEW),
    (NO_ANSWER, [504], OLD, "review", REVIEW),
    (NO_HISTORY, [None], FRESH, "retry", AGAIN),
    (NO_HISTORY, [500], FRESH, "retry", AGAIN),
    (NO_HISTORY, [None], YOUNG, "retry", REVIEW),
    (NO_HISTORY, [None], OLD, "retry", REVIEW),
    (NO_HISTORY, [500], YOUNG, "retry", RETRIED),
    (NO_HISTORY, [599], YOUNG, "retry", RETRIED),
    (NO_HISTORY, [499], YOUNG, "retry", REVIEW),
    (NO_HISTORY, [500], YOUNG, "review", REVIEW),
    (NO_HISTORY, [500, 502], YOUNG, "retry", RETRIED),
    (NO_HISTORY, [500, 502, 504], YOUNG, "retry", RETRIED),
    (NO_HISTORY, [500, None], YOUNG, "retry", REVIEW),
    (NO_HISTORY, [None, 500], YOUNG, "retry", RETRIED),
]


@pytest.mark.parametrize(("proof", "answers", "age", "setting", "end"), UNDECIDED)
def test_what_the_history_can_not_tell(
    proof: Proof, answers: Sequence[int | None], age: timedelta, setting: str, end: str
) -> None:
    """It is looked up again till the deadline; then a 5xx follows the setting, and all else is for a person.

    A history that is missing is waited for until it is clear that it is not just away.
    """
    submits = [made(answer, age=age) for answer in answers]
    assert told(concluded(proof, *submits, SAM3D_SUBMIT_SERVER_ERROR=setting)) == end


@pytest.mark.parametrize(("proof", "end"), [(FOUND, ADOPTED), (ABSENT, ABSENT_ONCE)])
@pytest.mark.parametrize("setting", ["retry", "review"])
def test_what_the_history_tells_is_believed(proof: Proof, end: str, setting: str) -> None:
    """Whatever came, however often and how long ago: no setting is asked."""
    answered: list[list[int | None]] = [[None], [500], [500] * 9]
    for answers, age in product(answered, (timedelta(0), YOUNG, OLD, timedelta(days=1))):
        submits = [made(answer, age=age) for answer in answers]
        assert told(concluded(proof, *submits, SAM3D_SUBMIT_SERVER_ERROR=setting)) == end


@pytest.mark.parametrize(("ago", "end"), [(timedelta(minutes=58), RETRIED), (timedelta(minutes=60), REVIEW)])
def test_how_long_a_submit_is_sent_again_is_a_setting(ago: timedelta, end: str) -> None:
    """An hour from the first answer of 5xx; then a person is asked."""
    submits = made(500, age=ago), made(500, age=YOUNG)
    assert told(concluded(NO_HISTORY, *submits, SAM3D_SUBMIT_SERVER_ERROR="retry")) == end


def test_a_submit_is_sent_again_later_each_time() -> None:
    """A vendor with server errors is not hammered."""
    waits = []
    for tried in range(1, 7):
        _, outcome = concluded(NO_HISTORY, *[made(500)] * tried, SAM3D_SUBMIT_SERVER_ERROR="retry")
        assert isinstance(outcome, Advance)
        waits.append(outcome.due_in / timedelta(minutes=1))
    assert waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(("settle", "end"), [(SETTLE, REVIEW), (2 * DEADLINE, AGAIN)])
def test_a_history_that_is_slow_is_waited_for(settle: timedelta, end: str) -> None:
    """Rows were seen to land later than the deadline: nobody is asked before they may have."""
    what = Unanswered(JOB, (made(age=OLD),))
    assert told(conclude(what, doubted_of(what, set(), defaults()), OPEN, defaults(), PLAN, settle)) == end


def test_nobody_is_asked_while_the_process_may_still_report() -> None:
    """Its answer would settle it; a person is asked at the deadline all the same."""
    sent = made(verdict=None, age=FRESH + SECOND + defaults().run.submit_deadline)
    assert told(concluded(NO_HISTORY, sent, alive=frozenset({SESSION}))) == AGAIN
    assert told(concluded(NO_HISTORY, sent)) == REVIEW
    long_ago = made(verdict=None, age=DEADLINE + defaults().run.submit_deadline)
    assert told(concluded(NO_HISTORY, long_ago, alive=frozenset({SESSION}))) == REVIEW


@pytest.mark.parametrize(
    ("status", "setting", "end"), [(None, "retry", REVIEW), (500, "retry", RETRIED), (500, "review", REVIEW)]
)
def test_a_history_that_is_switched_off_is_not_waited_for(status: int | None, setting: str, end: str) -> None:
    """The operator has said that there is none."""
    sent = made(status, age=timedelta(0))
    assert told(concluded(NO_HISTORY, sent, SAM3D_HISTORY="off", SAM3D_SUBMIT_SERVER_ERROR=setting)) == end


@pytest.mark.parametrize(("age", "end"), [(OLD, AGAIN), (4 * DEADLINE - SECOND, AGAIN), (4 * DEADLINE, REVIEW)])
def test_a_history_that_is_too_long_to_be_read_is_waited_for(age: timedelta, end: str) -> None:
    """It answers, but not all of it was read in time: once the burst is over it is."""
    assert told(concluded(Proof(Finding.OPEN, Gap.UNREAD), made(age=age))) == end


def test_a_5xx_is_for_a_person_by_default() -> None:
    """A promise is not kept by hoping."""
    assert told(concluded(NO_HISTORY, made(500))) == REVIEW


def test_what_a_person_is_told() -> None:
    """Why nobody knows, and which command decides."""
    _, outcome = concluded(OPEN, made(age=OLD))
    assert isinstance(outcome, Fail)
    assert outcome.message == (
        "Whether a run was started is not known: its row may still land. Decide with `sam3d review job`."
    )


@pytest.mark.parametrize("proof", [FOUND, ABSENT, OPEN, NO_HISTORY, NO_ANSWER], ids=lambda proof: proof.why)
@pytest.mark.parametrize("age", [YOUNG, OLD])
def test_each_end_is_one_that_the_table_of_states_allows(proof: Proof, age: timedelta) -> None:
    """And none leads back into a submit without an answer."""
    for status in (None, 202, 500):
        _, outcome = concluded(proof, made(status, age=age))
        change = decide(JobState.SUBMITTING, 0, outcome) if outcome else None
        assert change is None or change.state in {JobState.PROCESSING, JobState.ACCEPTED, JobState.REVIEW}


@pytest.mark.parametrize(
    ("ago", "submitted", "due_in"),
    [
        (10 * SECOND, NOW - 10 * SECOND, PLAN.first - 10 * SECOND),
        (timedelta(hours=1), NOW - timedelta(hours=1), timedelta(0)),
        (-30 * SECOND, NOW, PLAN.first),
    ],
    ids=["young", "old", "the vendor's clock is ahead"],
)
def test_an_adopted_run_is_as_old_as_it_is(ago: timedelta, submitted: datetime, due_in: timedelta) -> None:
    """The vendor's hour counts from when it accepted the run, not from when it was found."""
    answered, outcome = concluded(replace(FOUND, made_at=NOW - ago))
    assert answered
    assert answered.request_id == "run"
    assert isinstance(outcome, Advance)
    assert outcome.due_in == due_in
    assert outcome.learnt.columns() == {"request_id": "run", "remote_status": "PROCESSING", "submitted_at": submitted}


# What is known of a doubted submit.


def doubted(*submits: Submission, alive: frozenset[int] = frozenset()) -> Doubted:
    """Return what is known of a job's submits."""
    return doubted_of(Unanswered(JOB, submits), set(alive), defaults())


@pytest.mark.parametrize(("verdict", "alive", "is_over"), [
    (None, {SESSION}, False), (None, {8}, True), (None, set(), True), ("unknown", {SESSION}, True),
])  # fmt: skip
def test_a_submit_is_over_when_its_process_says_so_or_has_ended(
    verdict: str | None, alive: set[int], *, is_over: bool
) -> None:
    """A frozen one may still send it, or hold the answer."""
    assert doubted(made(500, verdict), alive=frozenset(alive)).is_over == is_over


def test_a_submit_without_an_answer_is_over_after_its_deadline() -> None:
    """Until then its run may be started; one that was answered was over then."""
    silent, answered = made(verdict=None), made(500)
    assert doubted(silent).over_at == silent.intended_at + defaults().run.submit_deadline
    assert doubted(answered).over_at == answered.answered_at


@pytest.mark.parametrize(
    ("before", "counts"),
    [("unknown", True), ("absent", True), ("unresolved", True), (None, True), ("not_started", False), ("held", False)],
)
def test_a_run_may_be_of_an_earlier_submit(before: str | None, *, counts: bool) -> None:
    """Of one that was taken for absent too; not of one that is known to have started none."""
    first, last = made(verdict=before, age=timedelta(hours=1)), made()
    assert doubted(first, last).windows[0].first == (first if counts else last).intended_at


@pytest.mark.parametrize(
    ("verdicts", "was_absent"),
    [(["unknown"], False), ([*["absent"] * 2, "unknown"], False), ([*["absent"] * 3, "unknown"], True)],
)
def test_a_submit_is_absent_three_times_at_most(verdicts: Sequence[str], *, was_absent: bool) -> None:
    """The fourth time a person is asked: there may be something that nobody thought of."""
    assert doubted(*(made(verdict=verdict) for verdict in verdicts)).was_absent == was_absent


def test_a_submit_of_an_older_version_is_equal_to_nothing() -> None:
    """It did not write what it sent, nor who it is: no run is taken for its own, and none is proven absent."""
    before = replace(made(), inputs=None, is_inline=None, session=None)
    assert (doubted(before).inputs, doubted(replace(before, answered_at=None)).is_over) == (None, False)


# One run is one job's.


def test_a_run_is_written_to_the_submit_that_it_names() -> None:
    """Not to the one that was made when it was, where rows show addresses; without one, by the time."""
    first, second = (replace(made(), token=name, address=f"url:{name}", intended_at=at)
                     for name, at in (("first", RUN.created_at - 60 * SECOND), ("second", RUN.created_at)))  # fmt: skip
    what = Unanswered(JOB, (first, second))
    named = replace(FOUND, request=replace(RUN, inputs={"image": "url:first"}))
    assert [submission_of(what, proof) for proof in (named, FOUND)] == ["first", "second"]
    assert doubted_of(what, set(), defaults()).addresses == {"url:first", "url:second"}
