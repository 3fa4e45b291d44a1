"""Retry: a new job in the place of one that failed or was cancelled, with all that its sender gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

from worker.database import retries, shares
from worker.database.arrivals import FREED, find_existing
from worker.database.engine import Connection, transaction
from worker.database.retries import Ended
from worker.errors import RetryRefused
from worker.log import Log
from worker.rules.lifecycle import FollowUp, JobState
from worker.work import shared_runs
from worker.work.begin import Accepted, begin
from worker.work.office import Office

log = Log(__name__)


@dataclass(frozen=True)
class Retried:
    """The job that is in the place of another; ``is_new`` unless the same message had made it before."""

    job_id: str
    is_new: bool
    follow_up: FollowUp | None


def retry(office: Office, job_id: str, *, pays_again: bool = False) -> tuple[str, FollowUp | None]:
    """Make a job in the place of another and announce it; return its id and the submit to send.

    Safe to run twice because the place of a job is taken once: the second time says which job has it.

    Raises:
        RetryRefused: the job is under way or succeeded, may have been paid, has been retried, or its files are gone.
    """
    retried = _retry(office, job_id, None, pays_again=pays_again)
    return retried.job_id, retried.follow_up


def retry_for_message(office: Office, job_id: str, message_id: UUID) -> Retried:
    """Make a job in the place of another, as a message asks, which never pays again; otherwise as :func:`retry`.

    Safe to run twice because the new job's id is made of the message's: the second time finds it.
    """
    return _retry(office, job_id, message_id, pays_again=False)


def _retry(office: Office, job_id: str, message_id: UUID | None, *, pays_again: bool) -> Retried:
    with transaction(office.engine) as connection:
        shares.lock_of(connection, job_id)
        ended = retries.lock(connection, job_id)
        if ended is None:
            raise RetryRefused(f"There is no job {job_id}; see `sam3d jobs`.")
        new_id = _new_id(job_id, ended, message_id)
        if ended.successor == new_id:
            return Retried(new_id, is_new=False, follow_up=None)
        share_key = ended.values["share_key"] if office.settings.intake.shares_runs else None
        has_run = share_key is not None and shared_runs.find_run(connection, share_key) is not None
        if why_not := refusal(job_id, ended, pays_again=pays_again, has_run=has_run):
            raise RetryRefused(why_not)
        values = {**ended.values, "id": new_id, "retry_of": job_id, "share_key": share_key}
        accepted = _begin(connection, office, values, ended)
    office.post.announce(accepted.events)
    return Retried(new_id, is_new=True, follow_up=accepted.follow_up)


def _new_id(job_id: str, ended: Ended, message_id: UUID | None) -> str:
    """Return the id of the new job; nobody can foresee it, and take it, who does not know the request."""
    return str(uuid5(message_id, f"{job_id} {ended.values['fingerprint']}") if message_id else uuid4())


def _begin(connection: Connection, office: Office, values: Mapping[str, Any], ended: Ended) -> Accepted:
    begun = begin(connection, office, values, partial(retries.copy_inputs, connection, values["retry_of"]))
    if begun is None:
        other = find_existing(connection, values["id"], ended.key)
        raise RetryRefused(f"Its idempotency key has job {other.id if other else 'another'} now, which goes on.")
    return begun


def refusal(job_id: str, ended: Ended, *, pays_again: bool, has_run: bool = False) -> str | None:
    """Say why a job can't be retried and what to do instead, or nothing where it can.

    ``has_run``: there is a run that the new job shares, which needs no files and costs nothing more.
    """
    if ended.is_shared:
        return f"Job {job_id} is a run that jobs share: retry those, see `sam3d job {job_id}`."
    if ended.state not in FREED:
        return f"Job {job_id} is {ended.state}; {_INSTEAD[ended.state]}"
    if ended.successor:
        return f"Job {job_id} was retried already: its place has job {ended.successor}; see `sam3d job` of that."
    if has_run:
        return None
    return _why_paid(job_id, ended, pays_again=pays_again) or _why_not_again(job_id, ended)


def _why_paid(job_id: str, ended: Ended, *, pays_again: bool) -> str | None:
    if ended.may_be_paid and not pays_again:
        return f"Nobody knows whether job {job_id} was paid: look it up at the vendor; {_PAY_AGAIN}"
    if ended.is_paid and not pays_again:
        return f"Job {job_id} has a paid run, which a retry does not use: see `sam3d job {job_id}`; {_PAY_AGAIN}"
    return None


def _why_not_again(job_id: str, ended: Ended) -> str | None:
    if not ended.has_files:
        return f"Job {job_id} never was a request that can be run: see `sam3d job {job_id}`, and send a corrected one."
    if ended.gone:
        return f"The bytes of job {job_id} ({', '.join(ended.gone)}) are kept no more: send the request again."
    return None


_PAY_AGAIN = "`--pay-again` makes a new job in any case."
_INSTEAD = {
    JobState.SUCCEEDED: "its files are there: `sam3d output` writes them. For another model send a new request.",
    JobState.REVIEW: "a person decides it: `sam3d review`.",
    **dict.fromkeys((JobState.ACCEPTED, JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING), "it goes on."),
    JobState.SHARING: "the run that it shares goes on.",
}
"""What there is to do with a job that can't be retried in its state."""
