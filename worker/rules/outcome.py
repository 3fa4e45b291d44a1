"""Pure: what a step learnt and reports, and what that makes of its job's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, TypeVar

from worker.errors import HoldCause
from worker.rules.lifecycle import NOW, JobState, Trigger, next_state
from worker.rules.output_files import StoredFile


class Unset(Enum):
    """What nobody learnt: its column stays as it is, where None would empty it."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What is written to a job's row.

    ``tells_of_account``: the vendor answered for this run, so a held account that this job tries goes on.
    """

    request_id: str | Unset | None = UNSET
    remote_status: str | Unset | None = UNSET
    submitted_at: datetime | Unset | None = UNSET
    vendor_submitted_at: datetime | Unset | None = UNSET
    running_at: datetime | Unset | None = UNSET
    completed_at: datetime | Unset | None = UNSET
    polls: int | Unset = UNSET
    requests: int | Unset = UNSET
    attempts: int | Unset = UNSET
    gone_looks: int | Unset = UNSET
    broken_files: int | Unset = UNSET
    metrics: Mapping[str, float] | Unset | None = UNSET
    cost: float | Unset | None = UNSET
    addresses: Sequence[str] | Unset | None = field(default=UNSET, repr=False)
    kept: Mapping[str, str] | Unset | None = field(default=UNSET, repr=False)
    result: Mapping[str, Any] | Unset | None = field(default=UNSET, repr=False)
    missing: Sequence[Mapping[str, str]] | Unset = UNSET
    waits_for: str | Unset | None = UNSET
    error_code: str | Unset | None = UNSET
    error_message: str | Unset | None = UNSET
    tells_of_account: bool = False

    def columns(self) -> dict[str, Any]:
        """Return the columns that are written, and what to them."""
        return {name: each for name, each in vars(self).items() if each is not UNSET and name != "tells_of_account"}

    def __or__(self, later: "Learnt") -> "Learnt":
        """Return both; where both say something, what was learnt later."""
        tells = self.tells_of_account or later.tells_of_account
        return replace(self, **later.columns(), tells_of_account=tells)


NOTHING = Learnt()


def known(value: T | Unset) -> T | None:
    """Return what was learnt, or None."""
    return None if isinstance(value, Unset) else value


@dataclass(frozen=True)
class Lesson:
    """What a look taught of the vendor: whether a look at a result also tells that a run goes on (None: nothing).

    ``is_repeated``: it took a second request, which had no slot of the budget; ``slot`` is how long one is.
    """

    single_look: bool | None = None
    is_repeated: bool = False
    slot: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """What every step reports: the status of the vendor's answer, if one came, and what it taught of the vendor."""

    http_status: int | None = None
    lesson: Lesson | None = None


@dataclass(frozen=True)
class Advance(Report):
    """The step got somewhere."""

    trigger: Trigger
    due_in: timedelta = NOW
    learnt: Learnt = field(default=NOTHING, repr=False)
    files: Sequence[StoredFile] = ()


@dataclass(frozen=True)
class Snooze(Report):
    """Come back later; nothing is wrong. ``is_attempt`` counts a failed try that is tried again."""

    due_in: timedelta
    reason: str
    is_attempt: bool = False
    learnt: Learnt = field(default=NOTHING, repr=False)
    files: Sequence[StoredFile] = ()


@dataclass(frozen=True)
class Fail(Report):
    """The job can't go on: a stable code and a sentence for its sender."""

    trigger: Trigger
    code: str
    message: str
    learnt: Learnt = field(default=NOTHING, repr=False)
    files: Sequence[StoredFile] = ()


@dataclass(frozen=True)
class Hold(Report):
    """The account is stopped; the job waits and no attempt is used up.

    Where that is not certain, it is this one job that may be refused: what others were answered tells.
    """

    cause: HoldCause
    message: str
    is_certain: bool = True
    due_in: timedelta = NOW


@dataclass(frozen=True)
class Limited(Report):
    """The vendor's request limit is used up; the job waits and no attempt is used up.

    Its next window opens in ``opens_in``, which the vendor named (``is_told``) or which is a guess. ``learnt_limit`` is
    what that teaches of the limit that is set, requests a minute.
    """

    opens_in: timedelta
    is_told: bool
    closes_reads: bool
    learnt_limit: float | None = None


@dataclass(frozen=True)
class Doubt:
    """A submit has no answer that tells whether a run was started; ``http_status`` is what came, if anything did.

    ``stops``: so many have none that their account is stopped.
    """

    message: str
    http_status: int | None = None
    stops: Hold | None = None
    learnt: Learnt = field(default=NOTHING, repr=False)


Outcome = Advance | Snooze | Fail | Hold | Limited | Doubt


def learnt_of(outcome: Outcome) -> Learnt:
    """Return the facts that came with an outcome."""
    return NOTHING if isinstance(outcome, Hold | Limited) else outcome.learnt


@dataclass(frozen=True)
class Change:
    """What is written to a job's row: its next state, when its next step is due, and what was learnt."""

    trigger: Trigger
    state: JobState
    due_in: timedelta
    learnt: Learnt = field(default=NOTHING, repr=False)
    files: Sequence[StoredFile] = ()
    hold: Hold | None = None
    limited: Limited | None = None
    doubt: Doubt | None = None
    http_status: int | None = None
    lesson: Lesson | None = None


def decide(state: JobState, attempts: int, outcome: Outcome) -> Change:
    """Turn what a step reports into what is written; total over outcomes."""
    lesson = outcome.lesson if isinstance(outcome, Report) else None
    return replace(_decided(state, attempts, outcome), http_status=outcome.http_status, lesson=lesson)


def _decided(state: JobState, attempts: int, outcome: Outcome) -> Change:
    match outcome:
        case Advance(trigger, due_in, learnt, files):
            return Change(trigger, _moved(state, trigger), due_in, learnt, files)
        case Snooze(due_in, reason, is_attempt, learnt, files):
            trigger = _not_further(state)
            noted = Learnt(attempts=attempts + is_attempt, waits_for=reason) | learnt
            return Change(trigger, _moved(state, trigger), due_in, noted, files)
        case Limited(opens_in):
            trigger = _not_further(state)
            noted = Learnt(waits_for="the vendor's request limit")
            return Change(trigger, _moved(state, trigger), opens_in, noted, limited=outcome)
        case Fail(trigger, code, message, learnt, files):
            noted = learnt | Learnt(error_code=code, error_message=message)
            return Change(trigger, _moved(state, trigger), NOW, noted, files)
        case Hold(cause, due_in=due_in):
            noted = Learnt(waits_for=f"account held: {cause}")
            return Change(Trigger.HELD, _moved(state, Trigger.HELD), due_in, noted, hold=outcome)
        case Doubt(message, stops=stops, learnt=learnt):
            noted = Learnt(waits_for=f"the vendor's request history: {message}") | learnt
            return Change(Trigger.UNKNOWN, _moved(state, Trigger.UNKNOWN), NOW, noted, hold=stops, doubt=outcome)


def _not_further(state: JobState) -> Trigger:
    return Trigger.NOT_SENT if state is JobState.SUBMITTING else Trigger.RUNNING


def _moved(state: JobState, trigger: Trigger) -> JobState:
    following = next_state(state, trigger)
    if following is None:
        raise AssertionError(f"{trigger} reported in {state}: a step reports only what its state allows")
    return following
