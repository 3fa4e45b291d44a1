"""Pure: what a look at the history says of a submit without an answer: found, absent, or what is missing to tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from worker.rules.run import Inputs, Listed


@dataclass(frozen=True)
class Window:
    """From the intent of a submit to when it was over: the time in which its run was started, if it was."""

    first: datetime
    last: datetime

    def holds(self, at: datetime, tolerance: timedelta) -> bool:
        """Tell whether a moment is in it, as far as two clocks agree."""
        return self.first - tolerance <= at <= self.last + tolerance


@dataclass(frozen=True)
class Doubted:
    """A job that has submits without an answer that tells, and what is known of them."""

    job_id: str
    inputs: Inputs | None
    is_inline: bool
    windows: Sequence[Window]  # Of its submits that may have started a run.
    over_at: datetime  # When the last of them had an outcome, or must have.
    is_over: bool  # The process that made it reported its outcome, or has ended.
    was_absent: bool  # It was absent and submitted again as often as is allowed.
    told: frozenset[str] = frozenset()  # Runs that its submits were answered with, and that it does not have.
    addresses: frozenset[str] = frozenset()  # Marks of the addresses that name its submits, each its own.


class Finding(StrEnum):
    """What a look at the history says of a doubted submit."""

    FOUND = "found"  # A run of these inputs is listed that is nobody's.
    ABSENT = "absent"  # No run was started.
    OPEN = "open"  # It may still be listed, or there is no proof that it would be.


class Gap(StrEnum):
    """What is missing of a proof; the value is the sentence that people read."""

    NO_HISTORY = "the vendor's request history does not answer as known"
    NO_ANSWER = "the vendor's request history does not answer now"
    UNREAD = "not all of the history could be read"
    NOT_WRITTEN = "what was sent is not known"
    LIVES = "the process that sent it lives and has not reported"
    MAY_LAND = "its row may still land"
    UNFILLED = "the history does not show yet what was sent with runs that it lists"
    TWIN = "the history lists a run of these inputs that can't be told to be this one's"
    STRAY = "the history lists a run that no submit of ours is known for, which may be this one in another writing"
    MISSING = "the history does not list another run of ours that it should by now"
    WAS_ABSENT = "it was absent three times before and was submitted again"
    NO_LATER_SUBMIT = "no later submit is listed with its inputs as such rows show them"

    @property
    def is_passing(self) -> bool:
        """Whether the history answers and will tell more, if it is given time."""
        return self in {Gap.UNREAD, Gap.UNFILLED}

    @property
    def is_silence(self) -> bool:
        """Whether nothing speaks against the vendor's word that a submit answered with a 5xx may be sent again."""
        return self in {Gap.NO_HISTORY, Gap.NO_LATER_SUBMIT}


FOUND = "the history lists a run of these inputs"


ABSENT = "the history lists a later submit and not this one"


@dataclass(frozen=True)
class Proof:
    """A finding: the run and when it was made by our clock, or what is missing to tell."""

    finding: Finding
    gap: Gap | None = None
    request: Listed | None = None
    made_at: datetime | None = None

    @property
    def why(self) -> str:
        """Say it in words."""
        return str(self.gap or (FOUND if self.request else ABSENT))


NO_HISTORY = Proof(Finding.OPEN, Gap.NO_HISTORY)


NO_ANSWER = Proof(Finding.OPEN, Gap.NO_ANSWER)
