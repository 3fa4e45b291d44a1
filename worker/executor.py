"""One job, one step: load, run, decide, record, announce; what follows is returned as the next message."""

import time
from contextlib import ExitStack
from uuid import uuid4

import structlog

from worker import lifecycle, steps
from worker.database import Connection, DatabaseError, describe, is_outage, transaction
from worker.errors import Sam3dError
from worker.events import change_payload
from worker.job import Job
from worker.lifecycle import (
    ANNOUNCED_ON,
    DRIVEN_BY,
    Change,
    EventType,
    FollowUp,
    JobState,
    Outcome,
    Step,
    Ticket,
    Trigger,
)
from worker.network import deadline
from worker.repository import accounts, jobs, outbox, outputs
from worker.repository.outbox import Event
from worker.schedule import first_poll
from worker.services import Services

VERDICTS = {
    Trigger.ANSWERED: "accepted",
    Trigger.NOT_SENT: "not_started",
    Trigger.HELD: "held",
    Trigger.REFUSED: "refused",
    Trigger.UNKNOWN: "unknown",
}
"""What a submission's row says about its answer."""

ANSWER_SECONDS = 60
"""How long an answer that can't be committed is held on to."""

log = structlog.get_logger(__name__)


def execute(services: Services, step: Step, ticket: Ticket) -> FollowUp | None:
    """Run a step of a job if its ticket still holds, and return the message to send next.

    Safe to run twice because each write is fenced by the version that the ticket names.
    """
    # Counted from before the job is taken: a worker that was frozen since then sends nothing.
    with deadline(services.settings.time_for(step)):
        job = load(services, step, ticket)
        if job is None:
            return wait_out(services, step, ticket)
        outcome = run(services, step, job)
    change = lifecycle.decide(job.state, job.attempts, outcome)
    version, events = record(services, job, change)
    services.outbox.announce(events)
    return follow_up(job, change, version)


def load(services: Services, step: Step, ticket: Ticket) -> Job | None:
    """Take the job under a lease; for a submit, commit the intent to pay in the same transaction."""
    lease = services.settings.lease_for(step)
    with transaction(services.engine) as connection:
        match step:
            case Step.SUBMIT:
                return jobs.take_for_submit(connection, ticket, lease, str(uuid4()), services.worker_name)
            case Step.POLL:
                return jobs.take(connection, ticket, JobState.PROCESSING, lease)
            case Step.FETCH:
                return jobs.take(connection, ticket, JobState.FETCHING, lease)


_WAITS_IN = {step: state for state, step in DRIVEN_BY.items() if step}


def wait_out(services: Services, step: Step, ticket: Ticket) -> FollowUp | None:
    """Send a ticket that came early round again; drop one that is stale."""
    with transaction(services.engine) as connection:
        early = jobs.until_due(connection, ticket, _WAITS_IN[step])
    log.debug("ticket_early" if early else "ticket_stale", step=step, version=ticket.version)
    return FollowUp(step, ticket, early) if early else None


def run(services: Services, step: Step, job: Job) -> Outcome:
    """Do the step; an error that is part of the contract is an outcome as well."""
    with structlog.contextvars.bound_contextvars(request_id=job.request_id):
        try:
            return steps.RUN[step](services, job)
        except Sam3dError as error:
            return steps.react(services, job, error)


def record(services: Services, job: Job, change: Change) -> tuple[int | None, list[Event]]:
    """Commit what the step learnt: the submission's answer in any case, the job's change if the fence holds."""
    request_id = change.columns.get("request_id", job.request_id)
    with ExitStack() as files, structlog.contextvars.bound_contextvars(request_id=request_id):
        for file in change.files:
            files.callback(file.content.close)
        version, events = _commit_answer(services, job, change) if job.token else _commit(services, job, change)
        if version is not None:
            log.info(_LOGGED[job.state], trigger=change.trigger, state=change.state)
        return version, events


_LOGGED = {
    JobState.SUBMITTING: "job_submitted",
    JobState.PROCESSING: "job_polled",
    JobState.FETCHING: "job_fetched",
}


def _commit_answer(services: Services, job: Job, change: Change) -> tuple[int | None, list[Event]]:
    """Commit the answer to a POST, which may be paid for, through a restart of the database.

    Safe to run twice because the answer is written by its token, and the job's change is fenced.
    """
    for seconds in range(ANSWER_SECONDS):
        try:
            return _commit(services, job, change)
        except DatabaseError as error:
            if not is_outage(error):
                break
            log.warning("answer_delayed", reason=describe(error), seconds=seconds, next="tries again in a second")
            time.sleep(1)
    log.error("answer_uncommitted", next="the sweep puts the job to review")
    return _commit(services, job, change)


def _commit(services: Services, job: Job, change: Change) -> tuple[int | None, list[Event]]:
    request_id = change.columns.get("request_id")
    with transaction(services.engine) as connection:
        if job.token:
            detail = change.columns.get("error_message") or change.columns.get("waits_for")
            jobs.answer(connection, job.token, _verdict(change), request_id, detail)
        version = jobs.write(connection, job, change, services.settings.sam3d_sweep_grace)
        if version is None:
            return _fenced(connection, services, job, request_id)
        outputs.add(connection, job.id, change.files)
        return version, [*_job_events(connection, job, change), *_account_events(connection, job, change)]


def _verdict(change: Change) -> str:
    """Say what is known of a POST; a 5xx is sent again on the vendor's word, not on knowledge."""
    return "unknown" if "server_errors" in change.columns else VERDICTS[change.trigger]


def _fenced(
    connection: Connection, services: Services, job: Job, request_id: str | None
) -> tuple[int | None, list[Event]]:
    """Someone else moved the job on; only a late answer to a submit still matters, to a job in review."""
    log.warning("job_fenced", state=job.state, next="whoever took it over goes on")
    if request_id is None:
        return None, []
    due_in = first_poll(services.settings.sam3d_expected_run)
    adopted = jobs.adopt_late_answer(connection, job.id, request_id, due_in)
    if adopted is None:
        log.error("answer_unused", request_id=request_id, next="the paid run is on the job's submission")
        return None, []
    change = Change(Trigger.ANSWERED, JobState.PROCESSING, due_in, {"request_id": request_id})
    return None, [outbox.add(connection, EventType.SUBMITTED, job.id, change_payload(adopted, change))]


def _job_events(connection: Connection, job: Job, change: Change) -> list[Event]:
    kind = ANNOUNCED_ON.get((job.state, change.state))
    if kind is None:
        return []
    if kind is EventType.REVIEW:
        log.error("job_in_review", reason=change.columns["error_message"], next="see `sam3d job ID`")
    return [outbox.add(connection, kind, job.id, change_payload(job, change))]


def _account_events(connection: Connection, job: Job, change: Change) -> list[Event]:
    """Stop the account that was refused; let it go on when a submit got through."""
    name = {"account": job.account}
    if change.hold and accounts.hold(connection, job.account, change.hold):
        log.error("account_held", cause=change.hold.cause, reason=change.hold.message, next="one probe a minute")
        payload = {**name, "cause": change.hold.cause, "message": change.hold.message}
        return [outbox.add(connection, EventType.ACCOUNT_HELD, None, payload)]
    if change.trigger is Trigger.ANSWERED and accounts.resume(connection, job.account):
        log.info("account_resumed", **name)
        return [outbox.add(connection, EventType.ACCOUNT_RESUMED, None, name)]
    return []


def follow_up(job: Job, change: Change, version: int | None) -> FollowUp | None:
    """Return the message that moves the job on, if one does and the job is still ours."""
    step = DRIVEN_BY[change.state]
    is_waiting_for_account = change.hold and change.state is JobState.ACCEPTED
    if step is None or version is None or is_waiting_for_account:
        return None
    return FollowUp(step, Ticket(job.id, version), change.due_in)
