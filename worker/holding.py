"""Hold: an account is stopped and goes on again, each with its event. Its jobs wait; none uses up an attempt."""

from collections.abc import Sequence

import structlog

from worker.database import Connection
from worker.errors import HoldCause
from worker.lifecycle import EventType
from worker.outcome import Hold
from worker.repository import accounts, outbox
from worker.repository.outbox import Event

log = structlog.get_logger(__name__)


def hold(connection: Connection, account: str, why: Hold, *, stops_reads: bool) -> Sequence[Event]:
    """Stop an account; nothing is announced where it is stopped already."""
    if not accounts.hold(connection, account, why, stops_reads=stops_reads):
        return ()
    next_step = _NEXT.get(why.cause, "it is tried once a minute")
    log.error("account_held", account=account, cause=why.cause, reason=why.message, next=next_step)
    payload = {"account": account, "cause": why.cause, "message": why.message}
    return [outbox.add(connection, EventType.ACCOUNT_HELD, None, payload)]


_NEXT = {
    HoldCause.OPERATOR: "`sam3d resume`",
    HoldCause.RESTORED: "it is compared with the request history and goes on, or `sam3d resume`",
}


def resume(connection: Connection, account: str, *, but: HoldCause | None = None) -> Sequence[Event]:
    """Let an account go on, unless it is held for one cause; nothing is announced where it is not stopped."""
    return _resumed(connection, account) if accounts.resume(connection, account, but=but) else ()


def resume_from(connection: Connection, account: str, cause: HoldCause) -> Sequence[Event]:
    """Let an account go on if it is held for this cause."""
    return _resumed(connection, account) if accounts.resume_from(connection, account, cause) else ()


def resume_after(connection: Connection, account: str, job_id: str) -> Sequence[Event]:
    """Let an account go on if this is the job that tries it, and it got through."""
    return _resumed(connection, account) if accounts.resume_after(connection, account, job_id) else ()


def _resumed(connection: Connection, account: str) -> Sequence[Event]:
    log.info("account_resumed", account=account)
    return [outbox.add(connection, EventType.ACCOUNT_RESUMED, None, {"account": account})]
