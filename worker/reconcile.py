"""Look up: what became of submits that got no answer, from the vendor's request history. Run by the scheduler.

A submit is repeated only if it is proven that it started no run; what can't be told is for a person.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from worker import changes
from worker.changes import Recorded
from worker.config import Settings
from worker.database import DatabaseError, describe, is_outage, live_sessions, transaction
from worker.errors import AccountHeld, HistoryMissing, RemoteUnavailable
from worker.failpoints import reach
from worker.history import CLOCKS_DIFFER, NO_LATER_SUBMIT, Doubted, Evidence, Finding, Listed, Look, Proof
from worker.job import Job
from worker.lifecycle import FollowUp, Trigger, Verdict
from worker.outcome import Advance, Fail, Outcome, decide
from worker.repository import submissions
from worker.repository.outbox import Event
from worker.repository.submissions import Answered, Unanswered
from worker.schedule import NOW, Plan, look_again, next_attempt
from worker.services import Services

BATCH = 100
NO_HISTORY = Proof(Finding.OPEN, "the vendor's request history does not answer as known")
NO_ANSWER = Proof(Finding.OPEN, "the vendor's request history does not answer now")

log = structlog.get_logger(__name__)


Settled = Sequence[Event | FollowUp]
"""What came of a look: events to announce and messages to send."""


def reconcile(services: Services) -> Settled:
    """Settle what can be settled of the submits without an answer. Safe to run twice because each write is fenced."""
    with transaction(services.engine) as connection:
        found = submissions.unanswered(connection, BATCH)
        alive = live_sessions(connection)
    doubts = {each.job.id: _doubted(each, alive, services.settings) for each in found}
    if not doubts:
        return ()
    judge = _investigate(services, list(doubts.values()), found[0].job.observed_at)
    reach("reconcile.answered")
    settled = [_settle(services, each, doubts[each.job.id], judge(doubts[each.job.id])) for each in found]
    reach("reconcile.recorded")
    return [each for several in settled for each in several]


def _doubted(what: Unanswered, alive: set[int], settings: Settings) -> Doubted:
    last = what.submissions[-1]
    doubtful = [each for each in what.submissions if not (each.verdict and each.verdict.has_no_run)]
    return Doubted(
        inputs_sha256=last.inputs_sha256 or "",
        is_inline=bool(last.is_inline),
        first_intended_at=(doubtful or [last])[0].intended_at,
        over_at=last.answered_at or last.intended_at + settings.sam3d_submit_deadline,
        is_over=last.answered_at is not None or (last.session is not None and last.session not in alive),
        was_absent=any(each.verdict is Verdict.ABSENT for each in what.submissions),
    )


Judge = Callable[[Doubted], Proof]


def _investigate(services: Services, doubts: Sequence[Doubted], now: datetime) -> Judge:
    """Read the history once for all, and return what judges by it."""
    if services.settings.sam3d_history == "off":
        return lambda _: NO_HISTORY
    try:
        first = min(each.first_intended_at for each in doubts) - CLOCKS_DIFFER
        look = services.vendor.history(first, now)
    except HistoryMissing as error:
        log.warning("history_missing", reason=str(error), next="what it can't tell goes to review")
        return lambda _: NO_HISTORY
    except (AccountHeld, RemoteUnavailable) as error:
        log.warning("history_unavailable", reason=str(error), next="the next tick")
        return lambda _: NO_ANSWER
    return _Bench(_evidence(services, look, now)).judge


def _evidence(services: Services, look: Look, now: datetime) -> Evidence:
    with transaction(services.engine) as connection:
        return Evidence(
            look=look,
            sent=submissions.accepted(connection, look.requests),
            claimed=submissions.claimed(connection, look.requests),
            now=now,
            settle=services.settings.sam3d_reconcile_settle,
        )


class _Bench:
    """Judges one doubted submit after the other; a run that was given to one is not given to the next."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def judge(self, doubted: Doubted) -> Proof:
        proof = self._evidence.judge(doubted)
        if proof.request:
            claimed = self._evidence.claimed | {proof.request.request_id}
            self._evidence = replace(self._evidence, claimed=claimed)
        return proof


def _settle(services: Services, what: Unanswered, doubted: Doubted, proof: Proof) -> Settled:
    """Commit what a proof says of a job. Whatever breaks, the next look finds it again."""
    with structlog.contextvars.bound_contextvars(job_id=what.job.id):
        try:
            return _commit(services, what, doubted, proof)
        except DatabaseError as error:
            if is_outage(error):
                raise
            log.warning("submit_undecided", reason=describe(error), next="the next tick")
            return ()


def _commit(services: Services, what: Unanswered, doubted: Doubted, proof: Proof) -> Settled:
    job, settings = what.job, services.settings
    answer, outcome = conclude(what, doubted, proof, settings, services.outlook.terms().plan)
    if outcome is None:
        with transaction(services.engine) as connection:
            age = job.observed_at - doubted.over_at
            submissions.postpone(connection, job, look_again(age, settings.sam3d_sweep_interval), proof.why)
        return ()
    change = decide(job.state, job.attempts, outcome)
    with transaction(services.engine) as connection:
        recorded = changes.write(connection, job, change, settings.sam3d_sweep_grace)
        if recorded.version is not None and answer:
            submissions.resolve(connection, job.id, answer)
    _tell(recorded, proof)
    following = changes.follow_up(job, recorded)
    return [*recorded.events, *([following] if following else [])]


def _tell(recorded: Recorded, proof: Proof) -> None:
    if recorded.version is None:
        return
    if proof.request:
        log.warning("submit_adopted", request_id=proof.request.request_id, why=proof.why)
    elif recorded.change.trigger is Trigger.NOT_SENT:
        log.warning("submit_absent", why=proof.why, next="it is submitted again")


def conclude(
    what: Unanswered, doubted: Doubted, proof: Proof, settings: Settings, plan: Plan
) -> tuple[Answered | None, Outcome | None]:
    """Turn a proof into what is written to the ledger and what becomes of the job; neither: it is looked at again."""
    job, last = what.job, what.submissions[-1]
    if proof.finding is Finding.FOUND and proof.request:
        adopted = Answered(Verdict.ADOPTED, proof.request.request_id, detail=proof.why)
        return adopted, _adopted(job, proof.request, plan)
    if proof.finding is Finding.ABSENT:
        return Answered(Verdict.ABSENT, detail=proof.why), Advance(Trigger.NOT_SENT)
    if job.observed_at < doubted.over_at + _patience(doubted, proof, settings):
        return None, None
    server_errors = sum(1 for each in what.submissions if (each.http_status or 0) >= 500)
    # The vendor's word decides where there is nothing to the contrary.
    is_silent = proof in {NO_HISTORY, NO_ANSWER} or proof.why == NO_LATER_SUBMIT
    is_allowed = settings.sam3d_submit_server_error == "retry" and (last.http_status or 0) >= 500 and is_silent
    if is_allowed and server_errors < settings.sam3d_submit_attempts:
        return None, Advance(Trigger.NOT_SENT, next_attempt(2 * server_errors, jitter=1))
    message = f"Whether a run was started is not known: {proof.why}. Decide with `sam3d review {job.id}`."
    return Answered(Verdict.UNRESOLVED, detail=proof.why), Fail(Trigger.UNTOLD, "submit_unknown", message)


def _patience(doubted: Doubted, proof: Proof, settings: Settings) -> timedelta:
    """Return how long to look: where there is no history only until it is clear that it is not just away."""
    if settings.sam3d_history == "off" and doubted.is_over:
        return NOW
    is_missing = proof is NO_HISTORY and doubted.is_over
    return settings.sam3d_reconcile_settle if is_missing else settings.sam3d_reconcile_deadline


def _adopted(job: Job, listed: Listed, plan: Plan) -> Advance:
    """Go on with a run that was found; the vendor's hour counts from when it accepted it."""
    submitted_at = min(listed.created_at, job.observed_at)
    columns = {"request_id": listed.request_id, "remote_status": listed.status, "submitted_at": submitted_at}
    return Advance(Trigger.ANSWERED, max(NOW, plan.first - (job.observed_at - submitted_at)), columns)
