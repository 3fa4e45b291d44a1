"""Look up: what became of submits that got no answer, from the vendor's request history. Run by the scheduler.

A submit is repeated only if it is proven that it started no run; what can't be told is for a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from worker.config import Settings
from worker.database import doubts, submissions
from worker.database.doubts import Unanswered
from worker.database.engine import DatabaseError, describe, is_outage, transaction
from worker.database.locks import live_sessions
from worker.database.submissions import Answered
from worker.errors import AccountHeld, HistoryMissing, RemoteUnavailable
from worker.rules.evidence import Evidence
from worker.rules.habits import CLOCKS_DIFFER
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Trigger, Verdict
from worker.rules.outcome import Advance, Outcome
from worker.rules.proof import NO_ANSWER, NO_HISTORY, Doubted, Finding, Proof
from worker.rules.retry import look_again
from worker.telemetry.failpoints import reach
from worker.upkeep.lookup import Lookup
from worker.work import changes
from worker.work.changes import Recorded, Settled
from worker.work.conclusion import adopted, as_answered, conclude, doubted_of, is_undecided, submission_of
from worker.work.mixups import give_back
from worker.work.services import Services

BATCH = 500
log = structlog.get_logger(__name__)


def reconcile(services: Services, lookup: Lookup, ahead: timedelta = NOW) -> Settled:
    """Settle what can be settled of the submits without an answer. Safe to run twice because each write is fenced.

    ``ahead`` is by how much the clock has stepped since they may have been made: so much older than it is each seems.
    """
    interval, lifetime = services.settings.sam3d_sweep_interval, services.settings.sam3d_record_lifetime
    with transaction(services.engine) as connection:
        found = doubts.unanswered(connection, BATCH)
        left = doubts.left_open(connection, lifetime, interval, BATCH)
        alive = live_sessions(connection)
    in_doubt = [(each, doubted_of(each, alive, services.settings)) for each in _seen_at([*found, *left], ahead)]
    if not in_doubt:
        return ()
    bench = _investigate(services, lookup, [doubted for _, doubted in in_doubt], in_doubt[0][0].job.observed_at)
    reach("reconcile.answered")
    if bench.evidence:
        bench.evidence = bench.evidence.without(give_back(services, bench.evidence.mixed_up))
    settled = [_settle(services, what, doubted, bench) for what, doubted in in_doubt]
    with transaction(services.engine) as connection:
        doubts.note_look(connection, [each.job.id for each in left])
    reach("reconcile.recorded")
    return [each for several in settled for each in several]


def _seen_at(found: Sequence[Unanswered], ahead: timedelta) -> Sequence[Unanswered]:
    return [replace(each, job=replace(each.job, observed_at=each.job.observed_at - ahead)) for each in found]


@dataclass
class Bench:
    """Judges one doubted submit after the other; a run that was found for one is not given to the next."""

    evidence: Evidence | None
    otherwise: Proof = NO_ANSWER
    taken: frozenset[str] = frozenset()
    goes_on: bool = False  # The history is longer than what was read of it so far.

    def judge(self, doubted: Doubted) -> Proof:
        """Say what became of a submit by the evidence, or without one that the history can't tell."""
        if self.evidence is None:
            return self.otherwise
        proof = self.evidence.judge(doubted, self.taken)
        if proof.request:
            self.taken |= {proof.request.run}
        return proof

    def settle(self, settings: Settings) -> timedelta:
        """Return how late a run may be listed."""
        return self.evidence.settle if self.evidence else settings.sam3d_reconcile_settle


def _investigate(services: Services, lookup: Lookup, in_doubt: Sequence[Doubted], now: datetime) -> Bench:
    """Read the history once for all."""
    if services.settings.sam3d_history == "off":
        return Bench(None, NO_HISTORY)
    first = min(window.first for each in in_doubt for window in each.windows) - CLOCKS_DIFFER
    try:
        return Bench(lookup.look(first, now), goes_on=lookup.goes_on)
    except HistoryMissing as error:
        log.warning("history_missing", reason=str(error), next="what it can't tell goes to review")
        return Bench(None, NO_HISTORY)
    except (AccountHeld, RemoteUnavailable) as error:
        log.warning("history_unavailable", reason=str(error), next="the next tick")
        return Bench(None, NO_ANSWER)


def _settle(services: Services, what: Unanswered, doubted: Doubted, bench: Bench) -> Settled:
    """Commit what a proof says of a job. Whatever breaks, the next look finds it again."""
    with structlog.contextvars.bound_contextvars(job_id=what.job.id):
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
    interval = settings.sam3d_sweep_interval
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
        recorded = changes.apply(connection, what.job, outcome, services.settings.sam3d_sweep_grace, answer)
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
