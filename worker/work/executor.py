"""One job, one step: load, run, decide, record, announce; what follows is returned as the next message."""

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from worker.errors import Sam3dError
from worker.log import Log, bound_contextvars
from worker.network import deadline
from worker.rules.job import MAX_IMAGE_BYTES, Job
from worker.rules.lifecycle import LOGGED_END, FollowUp, JobState, Step, Ticket, Trigger
from worker.rules.onward import GOES_ON_WITH, Kept, in_one_go
from worker.rules.outcome import Change, Doubt, Outcome, decide, known, learnt_of
from worker.telemetry.failpoints import reach
from worker.work import changes, reads, recording, steps
from worker.work.changes import Recorded
from worker.work.reactions import react
from worker.work.services import Services
from worker.work.taking import load, wait_out

log = Log(__name__)


def execute(services: Services, step: Step, ticket: Ticket) -> FollowUp | None:
    """Run a step of a job if its ticket still holds, or two in one go, and return the message to send next.

    Safe to run twice because each write is fenced by the version that the ticket names.
    """
    within = services.settings.run.time_for
    # Counted from before the job is taken: a worker that was frozen since then sends nothing.
    with deadline(within(*in_one_go(step, services.steps))):
        with services.sending.taken(_MOST_SENT[step]) as keep, deadline(within(step)):
            job = load(services, step, ticket)
            keep(job.weight if job else 0)
            if job is None:
                return wait_out(services, step, ticket)
            taken_at = time.monotonic()
            outcome = run(services, step, job)
        kept = reads.keep(services, job, outcome, taken_at)
        return _go_on(services, kept) if kept else _end(services, step, job, outcome)


def _go_on(services: Services, kept: Kept) -> FollowUp | None:
    """Run the next step of a job that was kept: no message is waited for, nothing is written before it or taken."""
    with bound_contextvars(request_id=kept.job.request_id):
        _tell(kept.taken, decide(kept.taken.state, kept.taken.attempts, kept.polled))
    with deadline(services.settings.run.time_for(GOES_ON_WITH)):
        outcome = run(services, GOES_ON_WITH, kept.job)
    return _end(services, GOES_ON_WITH, kept.job, outcome, kept)


def _end(services: Services, step: Step, job: Job, outcome: Outcome, kept: Kept | None = None) -> FollowUp | None:
    """Record what a step came to, announce it, and return the message of the next."""
    recorded = record(services, job, outcome, kept)
    reach(f"{step}.recorded")
    services.post.follow(recorded.events)
    reach(f"{step}.announced")
    return changes.follow_up(job, recorded)


_MOST_SENT = {Step.SUBMIT: MAX_IMAGE_BYTES, Step.POLL: 0, Step.FETCH: 0}
"""Bytes of photos that a step may send."""


def run(services: Services, step: Step, job: Job) -> Outcome:
    """Do the step; an error that is part of the contract is an outcome as well."""
    reach(f"{step}.taken")
    outcome = _outcome(services, step, job)
    reach(f"{step}.answered")
    return outcome


def _outcome(services: Services, step: Step, job: Job) -> Outcome:
    with bound_contextvars(request_id=job.request_id):
        try:
            return steps.RUN[step](services, job)
        except Sam3dError as error:
            return replace(react(services, job, error), http_status=error.http_status)
        except Exception:
            if step is not Step.SUBMIT:
                raise
            log.exception("submit_broke", next="the scheduler finds out whether a run was started")
            return Doubt("an error of the service")


def record(services: Services, job: Job, outcome: Outcome, kept: Kept | None = None) -> Recorded:
    """Commit what the step learnt: the submission's answer in any case, the job's change if the fence holds."""
    request_id = known(learnt_of(outcome).request_id) or job.request_id
    with bound_contextvars(request_id=request_id):
        commit = partial(recording.commit, services, job, outcome, kept)
        recorded = changes.persist(commit, "what a step learnt")
        if recorded.version is not None:
            _tell(job, recorded.change)
        return recorded


def _tell(job: Job, change: Change) -> None:
    """Log what a step came to, where it has not ended its job: that has a line of its own."""
    if change.state not in LOGGED_END:
        told = {"trigger": change.trigger, "state": change.state, "waits_for": known(change.learnt.waits_for)}
        log.info(LOGGED[job.state, change.trigger], **{name: each for name, each in told.items() if each})


LOGGED: Mapping[tuple[JobState, Trigger], str] = {
    (JobState.SUBMITTING, Trigger.ANSWERED): "job_submitted",
    (JobState.SUBMITTING, Trigger.NOT_SENT): "job_put_off",
    (JobState.SUBMITTING, Trigger.HELD): "job_held",
    (JobState.SUBMITTING, Trigger.UNKNOWN): "job_in_doubt",
    (JobState.PROCESSING, Trigger.HELD): "job_held",
    (JobState.PROCESSING, Trigger.UNKNOWN): "job_in_doubt",
    (JobState.PROCESSING, Trigger.RUNNING): "job_polled",
    (JobState.PROCESSING, Trigger.COMPLETED): "job_polled",
    (JobState.FETCHING, Trigger.HELD): "job_held",
    (JobState.FETCHING, Trigger.UNKNOWN): "job_in_doubt",
    (JobState.FETCHING, Trigger.RUNNING): "job_put_off",
}
"""The line of a step that goes on: what became of the job that it took."""
