"""Pure: the states of a job and the table of its transitions. No I/O, no clock."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

NOW = timedelta(0)
"""The delay of what is due at once."""

MINUTE = timedelta(minutes=1)
"""What limits of requests are counted in, and how long answers are judged by."""


class JobState(StrEnum):
    """Where a job is; each line says what it means and who moves it on."""

    ACCEPTED = "accepted"  # The row is committed, nothing was sent; a worker's submit moves it on.
    SUBMITTING = "submitting"  # The intent to pay is committed; the answer moves it on, or what the history says.
    PROCESSING = "processing"  # The vendor has it; a poll moves it on.
    FETCHING = "fetching"  # The run completed, and its output was not fetched in the same go; its fetch moves it on.
    SHARING = "sharing"  # It waits for a run that it shares with other jobs; that one's end moves it on.
    REVIEW = "review"  # Nobody can tell whether a run was paid; a person or a late answer moves it on.
    SUCCEEDED = "succeeded"  # Final: the outputs are stored.
    FAILED = "failed"  # Final: the reason is on the row.
    CANCELLED = "cancelled"  # Final: the caller gave it up.

    @property
    def is_final(self) -> bool:
        """Whether nothing moves the job on any more."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class Trigger(StrEnum):
    """What can happen to a job."""

    TAKEN = "taken"  # A worker takes it to submit it.
    ANSWERED = "answered"  # The vendor gave a request id, in time or late, or a person or the history did.
    NOT_SENT = "not_sent"  # No run was started, and the job may be submitted again.
    HELD = "held"  # The account is refused, not the job.
    REFUSED = "refused"  # The vendor refused the job's parameters.
    UNKNOWN = "unknown"  # A run may have been started, or it has another's: the history is looked at.
    UNTOLD = "untold"  # The history can't tell either; or a paid run is never shown, though others are.
    RUNNING = "running"  # Not over yet, or the read failed for now.
    COMPLETED = "completed"  # The run is over, its output can be read.
    ENDED = "ended"  # The run failed, is gone, or did not end in time; or its output is unusable.
    STORED = "stored"  # The outputs are stored.
    KILLED = "killed"  # Worker after worker died on it.
    CANCELLED = "cancelled"  # The caller gave it up.
    GIVEN_UP = "given_up"  # A person closed the review.


def _table() -> Mapping[JobState, Mapping[Trigger, JobState | None]]:
    """Spell the table out, a row a state, a column a trigger; a dot is a stale trigger: the row stays."""
    names = {
        "acc": JobState.ACCEPTED, "sub": JobState.SUBMITTING, "pro": JobState.PROCESSING, "fet": JobState.FETCHING,
        "sha": JobState.SHARING, "rev": JobState.REVIEW, "suc": JobState.SUCCEEDED, "fai": JobState.FAILED,
        "can": JobState.CANCELLED, ".": None,
    }  # fmt: skip
    rows = {
        #                    TAKEN ANSWERED NOT_SENT HELD REFUSED UNKNOWN UNTOLD RUNNING COMPLETED ENDED STORED KILLED CANCELLED GIVEN_UP
        JobState.ACCEPTED:   "sub  pro      .        .    .       .       rev    .       .         .     .      rev    can       .",
        JobState.SUBMITTING: ".    pro      acc      acc  fai     sub     rev    .       .         .     .      .      can       .",
        JobState.PROCESSING: ".    .        .        pro  .       sub     rev    pro     fet       fai   .      rev    can       .",
        JobState.FETCHING:   ".    .        .        fet  .       sub     rev    fet     .         fai   suc    rev    can       .",
        JobState.SHARING:    ".    .        .        .    fai     .       .      .       .         fai   suc    .      can       fai",
        JobState.REVIEW:     ".    pro      acc      acc  fai     .       .      .       .         .     .      .      can       fai",
        JobState.SUCCEEDED:  ".    .        .        .    .       .       .      .       .         .     .      .      .         .",
        JobState.FAILED:     ".    .        .        .    .       .       .      .       .         .     .      .      .         .",
        JobState.CANCELLED:  ".    .        .        .    .       .       .      .       .         .     .      .      .         .",
    }  # fmt: skip
    return {
        state: {trigger: names[cell] for trigger, cell in zip(Trigger, row.split(), strict=True)}
        for state, row in rows.items()
    }


TRANSITIONS = _table()


def next_state(state: JobState, trigger: Trigger) -> JobState | None:
    """Return the state that ``trigger`` leads to, or None where it is stale."""
    return TRANSITIONS[state][trigger]


class Verdict(StrEnum):
    """What is known of a POST: as it was answered, or as it was found out later."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    HELD = "held"
    DISPUTED = "disputed"  # Refused, and it may be the account that is or this one job.
    NOT_STARTED = "not_started"
    UNKNOWN = "unknown"
    ADOPTED = "adopted"  # The history, or a person, told which run it started.
    ABSENT = "absent"  # It is proven, or a person said, that it started none.
    UNRESOLVED = "unresolved"  # Nobody could tell: its job was put to review.

    @property
    def is_open(self) -> bool:
        """Whether it may still turn out to have started a run."""
        return self in {Verdict.UNKNOWN, Verdict.UNRESOLVED}


class Step(StrEnum):
    """What a worker does to a job; the same word in the task, the queue, the log and the test."""

    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"


DRIVEN_BY: Mapping[JobState, Step | None] = {
    JobState.ACCEPTED: Step.SUBMIT,
    JobState.SUBMITTING: None,  # Never repeated blindly: what got no answer is looked up.
    JobState.PROCESSING: Step.POLL,
    JobState.FETCHING: Step.FETCH,
    JobState.SHARING: None,  # The run has a row of its own, which is driven.
    JobState.REVIEW: None,
    JobState.SUCCEEDED: None,
    JobState.FAILED: None,
    JobState.CANCELLED: None,
}
"""The step that a job in each state waits for."""


class EventType(StrEnum):
    """What is announced; the value is the routing key and the CloudEvent's type."""

    ACCEPTED = "sam3d.reconstruction.accepted"
    SUBMITTED = "sam3d.reconstruction.submitted"
    SUCCEEDED = "sam3d.reconstruction.succeeded"
    FAILED = "sam3d.reconstruction.failed"
    CANCELLED = "sam3d.reconstruction.cancelled"
    REVIEW = "sam3d.reconstruction.review"
    REFUSED = "sam3d.reconstruction.refused"
    ACCOUNT_HELD = "sam3d.account.held"
    ACCOUNT_RESUMED = "sam3d.account.resumed"


ANNOUNCED_ON: Mapping[tuple[JobState, JobState], EventType] = {
    (JobState.SUBMITTING, JobState.PROCESSING): EventType.SUBMITTED,
    (JobState.REVIEW, JobState.PROCESSING): EventType.SUBMITTED,
    (JobState.ACCEPTED, JobState.PROCESSING): EventType.SUBMITTED,
    **{
        (state, final): event
        for state in JobState
        for final, event in {
            JobState.SUCCEEDED: EventType.SUCCEEDED,
            JobState.FAILED: EventType.FAILED,
            JobState.CANCELLED: EventType.CANCELLED,
            JobState.REVIEW: EventType.REVIEW,
        }.items()
        if state is not final
    },
}
"""The event that a change of state is announced with; a change that is not here is nobody's business."""

LOGGED_END: Mapping[JobState, str] = {
    JobState.SUCCEEDED: "job_succeeded",
    JobState.FAILED: "job_failed",
    JobState.CANCELLED: "job_cancelled",
    JobState.REVIEW: "job_in_review",
}
"""The line that a job's end is logged with, wherever it comes about; a review ends what goes on by itself."""

CURRENT_EVENT: Mapping[JobState, EventType] = {
    JobState.ACCEPTED: EventType.ACCEPTED,
    JobState.SUBMITTING: EventType.ACCEPTED,
    JobState.PROCESSING: EventType.SUBMITTED,
    JobState.FETCHING: EventType.SUBMITTED,
    JobState.SHARING: EventType.ACCEPTED,
    JobState.REVIEW: EventType.REVIEW,
    JobState.SUCCEEDED: EventType.SUCCEEDED,
    JobState.FAILED: EventType.FAILED,
    JobState.CANCELLED: EventType.CANCELLED,
}
"""What a duplicate request is told about the job it is a duplicate of."""


@dataclass(frozen=True)
class Ticket:
    """What a message carries: a hint that it is time to look at this version of a job."""

    job_id: str
    version: int


@dataclass(frozen=True)
class FollowUp:
    """The message to send next."""

    step: Step
    ticket: Ticket
    delay: timedelta
