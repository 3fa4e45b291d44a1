"""Judge: whether a refusal, or an answer that does not tell, is the account's trouble or one job's."""

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

import structlog

from worker.database import accounts
from worker.database.engine import Connection
from worker.errors import HoldCause, RemoteRefused
from worker.rules.job import Job
from worker.rules.lifecycle import Trigger
from worker.rules.outcome import Change, Fail, Hold, Snooze, decide
from worker.rules.standing import Standing, are_in_doubt

OUTAGE = Hold(
    HoldCause.OUTAGE,
    "Submit after submit has no answer that tells whether a run was started; runs that were started go on.",
)

log = structlog.get_logger(__name__)


def judge_submit(connection: Connection, job: Job, change: Change, again_in: timedelta) -> Change:
    """Say what the answer to a submit makes of its job, and of the account, by what others were answered.

    A job whose refusal does not tell yet comes again in ``again_in``. Safe to run twice because the count of
    unknown answers, which grows, only stops an account sooner.
    """
    if change.trigger is Trigger.ANSWERED:
        accounts.note_accepted(connection, job.account)
    if change.doubt:
        accounts.count_refusal(connection, job.id)
        is_outage = are_in_doubt(accounts.count_unknown(connection, job.account))
        return replace(change, hold=OUTAGE) if is_outage else change
    if change.hold and job.token:
        accounts.count_refusal(connection, job.id)
        return change if change.hold.is_certain else _judge_refusal(connection, job, change, change.hold, again_in)
    return change


def _judge_refusal(connection: Connection, job: Job, change: Change, refused: Hold, again_in: timedelta) -> Change:
    match accounts.refusals(connection, job).standing:
        case Standing.JOB:
            message = f"{refused.message} Other jobs get through: it is this one that is refused; nothing was paid."
            outcome = Fail(Trigger.REFUSED, RemoteRefused.code, message, http_status=change.http_status)
            return decide(job.state, job.attempts, outcome)
        case Standing.ACCOUNT:
            return change
        case Standing.OPEN as never:
            log.warning(
                "submit_disputed", reason=refused.message, next="it comes again; what others are answered tells"
            )
            reason = f"another look at whether it or the account is refused: {refused.message}"
            return decide(job.state, job.attempts, Snooze(again_in, reason, http_status=change.http_status))
    assert_never(never)


def judge_read(
    connection: Connection, job: Job, change: Change, again_in: timedelta, record_lifetime: timedelta
) -> Change:
    """Say what a refused read makes of its job, and of the account, by what the reads of other runs were answered.

    The run is paid: it is read again every ``again_in``, and only a person gives it up, who is asked once the vendor
    has forgotten the run: what is refused until then is never shown.
    """
    refused = change.hold
    if refused is None or refused.is_certain:
        return change
    accounts.count_refusal(connection, job.id)
    standing = accounts.refused_reads(connection, job).standing
    if standing is Standing.ACCOUNT:
        return replace(change, due_in=again_in)
    if standing is Standing.JOB and job.age > record_lifetime:
        message = f"{refused.message} {_NOT_SHOWN} `sam3d review {job.id}`."
        return decide(job.state, job.attempts, Fail(Trigger.UNTOLD, "read_refused", message))
    log.warning("read_disputed", reason=refused.message, next="it is read again")
    return decide(job.state, job.attempts, Snooze(again_in, f"the vendor refuses to show the run: {refused.message}"))


_NOT_SHOWN = "Other runs are shown and this one, which is paid, never was. Look it up at the vendor, then decide with"
