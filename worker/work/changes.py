"""A change of a job: its row, its files and its event in one transaction, and the message that follows."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from worker.database import files, jobs, outbox, submissions
from worker.database.engine import Connection, DatabaseError, describe, is_outage
from worker.database.outbox import Event
from worker.database.submissions import Answered
from worker.events.payloads import change_payload
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import ANNOUNCED_ON, DRIVEN_BY, LOGGED_END, EventType, FollowUp, JobState, Ticket
from worker.rules.outcome import Change, Outcome, decide
from worker.work import holding, limiting, shared_runs
from worker.work.ends import tell_end, told_of_end

PATIENCE = timedelta(seconds=60)
"""How long is held on to what can't be committed: it was paid for, or cost a request."""

Settled = Sequence[Event | FollowUp]
"""What came of a look: events to announce and messages to send."""

T = TypeVar("T")

log = Log(__name__)


@dataclass(frozen=True)
class Recorded:
    """What was written: the change, the job's new version or None where another worker had it, and the events."""

    change: Change
    version: int | None
    events: Sequence[Event]


def apply(
    connection: Connection, job: Job, outcome: Outcome, grace: timedelta, answer: Answered | None = None
) -> Recorded:
    """Write what an outcome makes of a job, and what it announces, if nobody wrote since the job was read.

    With it goes the ``answer`` to a submit of the job that had none.
    """
    change = decide(job.state, job.attempts, outcome)
    written = jobs.write(connection, job, change, grace)
    if written is None:
        return Recorded(change, None, ())
    files.add(connection, job.id, change.files)
    if answer:
        submissions.resolve(connection, job.id, answer)
    of_account = _account_events(connection, job, change, is_in_trouble=written.is_in_trouble)
    events = [*announcement(connection, job, change), *of_account]
    return Recorded(change, written.version, events)


def persist(work: Callable[[], T], what: str) -> T:
    """Commit what was learnt, again and again while the database is away; it has to be safe to do twice.

    Raises:
        DatabaseError: it could not be committed within :data:`PATIENCE`, or never can be.
    """
    ends_at = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < ends_at:
        try:
            return work()
        except DatabaseError as error:
            if not is_outage(error):
                break
            log.warning("commit_delayed", what=what, reason=describe(error), next="tries again in a second")
            time.sleep(1)
    log.error("commit_failed", what=what, next="tries a last time; then the scheduler finds the job")
    return work()


def announcement(connection: Connection, job: Job, change: Change) -> Sequence[Event]:
    """Write the event of a change, if it is anybody's business."""
    kind = ANNOUNCED_ON.get((job.state, change.state))
    if kind is None:
        return ()
    if change.state in LOGGED_END:
        tell_end(connection, job.id, change.state, **told_of_end(job, change))
    has_files = kind is EventType.SUCCEEDED or (kind is EventType.FAILED and (change.files or job.kept))
    stored = files.of_job(connection, job.id) if has_files else ()
    if job.is_shared:
        return shared_runs.pass_on(connection, job, change, kind, stored)
    return [outbox.add(connection, kind, job.id, change_payload(job, change, stored))]


def _account_events(connection: Connection, job: Job, change: Change, *, is_in_trouble: bool) -> Sequence[Event]:
    """Stop the account that was refused or limited; let it go on when the job that tries it got through."""
    is_read = job.state is not JobState.SUBMITTING
    if change.hold:
        return holding.hold_for(connection, job, change.hold, is_read=is_read)
    if change.limited:
        limiting.close(connection, job, change.limited, is_read=is_read)
    if change.lesson:
        limiting.note_look(connection, job, change.lesson)
    if not (change.learnt.tells_of_account and is_in_trouble):
        return ()
    if is_read:
        limiting.note_read(connection, job)
    else:
        holding.note_accepted(connection, job)
    return holding.resume_after(connection, job.account, job.id)


def follow_up(job: Job, recorded: Recorded) -> FollowUp | None:
    """Return the message that moves the job on, if one does and the job is still ours."""
    change, version = recorded.change, recorded.version
    step = DRIVEN_BY[change.state]
    if step is None or version is None or change.hold:  # What waits for its account waits as a row.
        return None
    return FollowUp(step, Ticket(job.id, version), change.due_in)


def settled(job: Job, recorded: Recorded) -> Settled:
    """Return what is to be announced and sent of a change."""
    following = follow_up(job, recorded)
    return [*recorded.events, *([following] if following else [])]
