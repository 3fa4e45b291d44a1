"""Hold: an account is stopped and goes on again, each with its event. Its jobs wait; none uses up an attempt."""

import logging
from collections.abc import Sequence

from worker.database import accounts, doubts, outbox
from worker.database.engine import Connection
from worker.database.outbox import Event
from worker.errors import HoldCause
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import EventType
from worker.rules.outcome import Hold

MAY_BE_PAID_AGAIN = "runs that this database does not know may be paid again"
"""What it means that a database which was set back was not compared with the request history."""

log = Log(__name__)


def hold_for(connection: Connection, job: Job, why: Hold, *, is_read: bool) -> Sequence[Event]:
    """Stop the account of a job that was refused: its reads as well where one was refused, or the key for certain."""
    stops_reads = is_read or (why.cause is HoldCause.KEY and why.is_certain)
    return hold(connection, job.account, why, stops_reads=stops_reads, job_id=job.id)


def hold(
    connection: Connection, account: str, why: Hold, *, stops_reads: bool, job_id: str | None = None
) -> Sequence[Event]:
    """Stop an account, for the vendor or for a person; nothing is announced where it is stopped so already."""
    is_persons = why.cause is HoldCause.OPERATOR
    if is_persons and not accounts.pause(connection, account, why.message):
        return ()
    if not is_persons and not accounts.hold(connection, account, why, stops_reads=stops_reads, job_id=job_id):
        return ()
    next_step = _NEXT.get(why.cause, "it is tried once a minute")
    level = logging.INFO if is_persons else logging.ERROR  # What somebody wants is not what is wrong.
    log.log(level, "account_held", account=account, cause=why.cause, reason=why.message, next=next_step)
    payload = {"account": account, "cause": why.cause, "message": why.message}
    return [outbox.add(connection, EventType.ACCOUNT_HELD, None, payload)]


_NEXT = {
    HoldCause.OPERATOR: "`sam3d resume`",
    HoldCause.RESTORED: "it is compared with the request history and goes on, or `sam3d resume`",
}


def lift(connection: Connection, account: str) -> Sequence[Event]:
    """Let an account go on, whatever held it; an event for each hold."""
    return [each for cause in accounts.lift(connection, account) for each in _resumed(connection, account, cause)]


def resume(connection: Connection, account: str) -> Sequence[Event]:
    """Let an account go on for all that the vendor has to do with it; a person's hold stays."""
    return _resumed(connection, account, accounts.resume(connection, account))


def resume_from(connection: Connection, account: str, cause: HoldCause) -> Sequence[Event]:
    """Let an account go on if it is held for this cause."""
    return _resumed(connection, account, accounts.resume_from(connection, account, cause))


def note_accepted(connection: Connection, job: Job) -> None:
    """Count anew the submits that have no answer which tells: the vendor took one."""
    accounts.note_accepted(connection, job.account)


def resume_after(connection: Connection, account: str, job_id: str) -> Sequence[Event]:
    """Let an account go on if this is the job that tries it, and it got through."""
    return _resumed(connection, account, accounts.resume_after(connection, account, job_id))


def _resumed(connection: Connection, account: str, cause: HoldCause | None) -> Sequence[Event]:
    """Announce the end of a hold; what the vendor answers from now on may tell what became of submits in doubt."""
    if cause is None:
        return ()
    doubts.look_now(connection, account)
    log.info("account_resumed", account=account, cause=cause)
    return [outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {"account": account, "cause": cause})]
