"""Settle: what a proof says of a job is committed."""

from dataclasses import replace
from datetime import timedelta

from worker.config.environment import Settings
from worker.database import doubts, submissions
from worker.database.doubts import Unanswered
from worker.database.engine import DatabaseError, describe, is_outage, transaction
from worker.database.submissions import Answered
from worker.log import Log, bound_contextvars
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger, Verdict
from worker.rules.outcome import Advance, Outcome
from worker.rules.proof import Doubted, Finding, Proof
from worker.rules.retry import look_again
from worker.upkeep.bench import Bench
from worker.work import changes
from worker.work.changes import Recorded, Settled
from worker.work.conclusion import adopted, as_answered, conclude, is_undecided, submission_of
from worker.work.services import Services

log = Log(__name__)


def settle(services: Services, what: Unanswered, doubted: Doubted, bench: Bench) -> Settled:
    """Commit what a proof says of a job. Whatever breaks, the next look finds it again."""
    with bound_contextvars(job_id=what.job.id):
        try:
            return _commit(services, what, doubted, bench)
        except DatabaseError as error:
            if is_outage(error):
                raise
            log.warning("submit_undecided", reason=describe(error), next="the next tick")
            return ()


def _commit(services: Services, what: Unanswered, doubted: Doubted, bench: Bench) -> Settled:
    job, settings, proof = what.job, services.settings, bench.judge(doubted)
    if job.state is not JobState.SUBMITTING:
        return _commit_left(services, what, proof)
    plan = services.outlook.terms().plan
    answer, outcome = conclude(what, doubted, proof, settings, plan, bench.settle(settings))
    if outcome is None:
        with transaction(services.engine) as connection:
            doubts.postpone(connection, job, _again_in(job, doubted, bench, settings), proof.why)
        return ()
    return _write(services, what, proof, outcome, answer)


def _again_in(job: Job, doubted: Doubted, bench: Bench, settings: Settings) -> timedelta:
    """Return when a submit is looked for again: soon where the look goes on."""
    interval = settings.upkeep.sweep_interval
    return interval if bench.goes_on else look_again(job.observed_at - doubted.over_at, interval)


def _commit_left(services: Services, what: Unanswered, proof: Proof) -> Settled:
    """Record the run of a submit that its job does not wait for; a job in review, or about to submit, goes on with it.

    One that is in review as nothing told yet whether it has a run is submitted again once it is proven to have none.
    """
    if proof.finding is Finding.ABSENT and is_undecided(what):
        return _write(services, what, proof, Advance(Trigger.NOT_SENT), Answered(Verdict.ABSENT, detail=proof.why))
    if proof.request is None:
        return ()
    answer = as_answered(proof)
    if what.job.state in {JobState.REVIEW, JobState.ACCEPTED} and what.job.request_id is None:
        return _write(services, what, proof, adopted(what.job, proof, services.outlook.terms().plan), answer)
    with transaction(services.engine) as connection:
        submissions.resolve(connection, what.job.id, replace(answer, token=submission_of(what, proof)))
    log.warning(
        "run_recorded", request_id=answer.request_id, state=what.job.state, next="it is on the job's submission"
    )
    return ()


def _write(services: Services, what: Unanswered, proof: Proof, outcome: Outcome, answer: Answered | None) -> Settled:
    answer = answer and replace(answer, token=submission_of(what, proof))
    with transaction(services.engine) as connection:
        recorded = changes.apply(connection, what.job, outcome, services.settings.upkeep.sweep_grace, answer)
    _tell(recorded, proof)
    return changes.settled(what.job, recorded)


def _tell(recorded: Recorded, proof: Proof) -> None:
    if recorded.version is None:
        return
    if proof.request:
        log.warning(
            "submit_adopted", request_id=proof.request.request_id, why=proof.why, next="the job goes on with it"
        )
    elif recorded.change.trigger is Trigger.NOT_SENT:
        log.warning("submit_absent", why=proof.why, next="it is submitted again")
