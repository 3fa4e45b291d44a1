"""Judge: whether a refusal, or an answer that does not tell, is the account's trouble or one job's."""

from dataclasses import replace
from datetime import timedelta
from typing import assert_never

from worker.database import accounts, verdicts
from worker.database.engine import Connection
from worker.errors import HoldCause, RemoteRefused
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import Trigger
from worker.rules.outcome import Doubt, Fail, Hold, Outcome, Snooze
from worker.rules.standing import Standing, are_in_doubt

OUTAGE = Hold(
    HoldCause.OUTAGE,
    "Submit after submit has no answer that tells whether a run was started; runs that were started go on.",
)

log = Log(__name__)


def judge_submit(connection: Connection, job: Job, outcome: Outcome, again_in: timedelta) -> Outcome:
    """Say what the answer to a submit makes of its job, and of the account, by what others were answered.

    A job whose refusal does not tell yet comes again in ``again_in``. Safe to run twice because the count of
    unknown answers, which grows, only stops an account sooner.
    """
    match outcome:
        case Doubt():
            verdicts.count_refusal(connection, job.id)
            is_outage = are_in_doubt(accounts.count_unknown(connection, job.account))
            return replace(outcome, stops=OUTAGE) if is_outage else outcome
        case Hold() if job.token:
            verdicts.count_refusal(connection, job.id)
            return outcome if outcome.is_certain else _judge_refusal(connection, job, outcome, again_in)
    return outcome


def _judge_refusal(connection: Connection, job: Job, refused: Hold, again_in: timedelta) -> Outcome:
    match verdicts.refusals(connection, job).standing:
        case Standing.JOB:
            message = f"{refused.message} Other jobs get through: it is this one that is refused; nothing was paid."
            return Fail(Trigger.REFUSED, RemoteRefused.code, message, http_status=refused.http_status)
        case Standing.ACCOUNT:
            return refused
        case Standing.OPEN as never:
            log.warning(
                "submit_disputed", reason=refused.message, next="it comes again; what others are answered tells"
            )
            reason = f"another look at whether it or the account is refused: {refused.message}"
            return Snooze(again_in, reason, http_status=refused.http_status)
    assert_never(never)


def judge_read(
    connection: Connection, job: Job, outcome: Outcome, again_in: timedelta, record_lifetime: timedelta
) -> Outcome:
    """Say what a refused read makes of its job, and of the account, by what the reads of other runs were answered.

    The run is paid: it is read again every ``again_in``, and only a person gives it up, who is asked once the vendor
    has forgotten the run: what is refused until then is never shown.
    """
    if not isinstance(outcome, Hold) or outcome.is_certain:
        return outcome
    verdicts.count_refusal(connection, job.id)
    standing = verdicts.refused_reads(connection, job).standing
    if standing is Standing.ACCOUNT:
        return replace(outcome, due_in=again_in)
    if standing is Standing.JOB and job.age > record_lifetime:
        message = f"{outcome.message} {_NOT_SHOWN} `sam3d review {job.id}`."
        return Fail(Trigger.UNTOLD, "read_refused", message)
    log.warning("read_disputed", reason=outcome.message, next="it is read again")
    return Snooze(again_in, f"the vendor refuses to show the run: {outcome.message}")


_NOT_SHOWN = "Other runs are shown and this one, which is paid, never was. Look it up at the vendor, then decide with"
