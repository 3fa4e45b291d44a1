"""The ledger of money: an intent is committed before each POST and its answer after it, whatever happens in between."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from worker.database import jobs, ownership, submissions
from worker.database.engine import Connection, transaction
from worker.database.outbox import Event
from worker.database.submissions import Answered
from worker.log import Log
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Ticket, Trigger, Verdict
from worker.rules.outcome import Change, Doubt, Hold, Outcome, Snooze, decide, known, learnt_of
from worker.work import changes, holding
from worker.work.changes import Recorded
from worker.work.enclosing import digest_of
from worker.work.judging import judge_submit
from worker.work.mixups import contest
from worker.work.services import Services

VERDICTS = {
    Trigger.ANSWERED: Verdict.ACCEPTED,
    Trigger.NOT_SENT: Verdict.NOT_STARTED,
    Trigger.HELD: Verdict.HELD,
    Trigger.REFUSED: Verdict.REFUSED,
    Trigger.UNKNOWN: Verdict.UNKNOWN,
}
"""What a submission's row says about its answer."""

log = Log(__name__)


def commit_answer(services: Services, job: Job, outcome: Outcome) -> Recorded:
    """Commit what came back to a POST, whatever became of its job. Safe to run twice because it is written by token."""
    grace = services.settings.upkeep.sweep_grace
    with transaction(services.engine) as connection:
        job = _as_taken(connection, services, job)
        outcome = _answered(connection, services, job, outcome)
        recorded = changes.apply(connection, job, outcome, grace)
        if recorded.version is None:
            return replace(recorded, events=_late(connection, job, recorded.change, grace))
        return recorded


def _as_taken(connection: Connection, services: Services, job: Job) -> Job:
    """Take a job again for the answer to an intent that the database lost: it was set back during the POST.

    The version that was taken may be that of another change by now, so it is no fence any more.
    """
    if job.token is None or submissions.is_intended(connection, job.token):
        return job
    found = jobs.find(connection, job.id)
    if found and found.request_id is None:
        session = services.session.key()
        submissions.intend(connection, job.token, job, services.worker_name, session, digest_of(job))
    is_free = found is not None and found.state is JobState.ACCEPTED
    return replace(job, version=found.version if found and is_free else _NOBODYS)


_NOBODYS = -1
"""A version that no row has."""


def _answered(connection: Connection, services: Services, job: Job, outcome: Outcome) -> Outcome:
    """Write a POST's answer to the ledger; the id of a run that the ledger knows already is no answer."""
    request_id = known(learnt_of(outcome).request_id)
    said = _said(job, outcome, outcome, request_id)
    if request_id and not ownership.claim(connection, job.token, said):
        contest(connection, services, job, request_id)
        outcome, request_id = Doubt(_OF_ANOTHER, outcome.http_status), None
    judged = judge_submit(connection, job, outcome, services.settings.upkeep.probe_interval / 2)
    answer = _said(job, outcome, judged, request_id)
    if not request_id or answer != said:  # A run is claimed with its answer.
        submissions.answer(connection, job.token, answer)
    return judged


def answer_with_run(change: Change) -> Answered:
    """Return what a submission's row says of a POST that has started a run."""
    return Answered(Verdict.ACCEPTED, known(change.learnt.request_id), change.http_status)


def _said(job: Job, outcome: Outcome, judged: Outcome, request_id: str | None) -> Answered:
    change = decide(job.state, job.attempts, judged)
    detail = known(change.learnt.error_message) or known(change.learnt.waits_for)
    verdict = VERDICTS[change.trigger]
    if isinstance(outcome, Hold) and not outcome.is_certain and change.trigger is not Trigger.REFUSED:
        verdict = Verdict.DISPUTED
    return Answered(verdict, request_id, outcome.http_status, detail)


_OF_ANOTHER = "the submit was answered with a run that another submit has"


def _late(connection: Connection, job: Job, change: Change, grace: timedelta) -> Sequence[Event]:
    """Someone else moved the job on; a late answer still matters to one that waits for it."""
    log.warning("job_fenced", state=job.state, next="whoever took it over goes on")
    request_id = known(change.learnt.request_id)
    if request_id:
        holding.note_accepted(connection, job)
    is_settled = request_id or not submissions.has_open(connection, job.id, but=job.token)
    moved = jobs.write_late(connection, job, change, grace) if is_settled else None
    if moved:
        return changes.announcement(connection, replace(moved, state=JobState.REVIEW), change)
    found = jobs.find(connection, job.id)
    if request_id and (found is None or found.request_id != request_id):
        log.error("answer_unused", request_id=request_id, next="the paid run is on the job's submission")
    return ()


def take_back(services: Services, ticket: Ticket, token: str, *, may_come: bool = False) -> None:
    """Take an intent back whose commit could not be seen: nothing was sent for it.

    ``may_come``: one statement is all of it, which may reach the database after this, as it was on its way to it.
    """
    changes.persist(partial(_withdraw, services, ticket, token, may_come=may_come), "intent")


def _withdraw(services: Services, ticket: Ticket, token: str, *, may_come: bool) -> None:
    with transaction(services.engine) as connection:
        # A commit that is still under way holds the row: its end is waited for.
        found = jobs.find(connection, ticket.job_id)
        job = submissions.job_of(connection, token)
        if found and may_come and job is None:
            submissions.forestall(connection, token, found.id, services.worker_name)
        if job and submissions.is_void(connection, token):
            return  # So a try made it whose own reply was lost; the job may be another worker's by now.
    if job:
        taken = replace(job, state=JobState.SUBMITTING, version=ticket.version + 1, token=token)
        commit_answer(services, taken, Snooze(NOW, "its turn"))
