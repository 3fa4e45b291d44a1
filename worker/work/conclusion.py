"""What is known of a job whose submits got no answer, and what a proof makes of it. No I/O."""

from dataclasses import replace
from datetime import datetime, timedelta

from worker.config.environment import Settings
from worker.database.doubts import Submission, Unanswered
from worker.database.submissions import Answered
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Trigger, Verdict
from worker.rules.naming import urls_of
from worker.rules.outcome import Advance, Fail, Learnt, Outcome
from worker.rules.plan import Plan
from worker.rules.proof import NO_HISTORY, Doubted, Finding, Proof, Window
from worker.rules.retry import submit_again

MOST_ABSENT = 3
"""How often a job that has no run is submitted again: where a fifth of the submits is lost, twice is too few.

:attr:`Gap.WAS_ABSENT` says the number in words.
"""


def doubted_of(what: Unanswered, alive: set[int], settings: Settings) -> Doubted:
    """Return what is known of a job's submits, given the sessions whose process lives."""
    last = what.submissions[-1]
    doubtful = [each for each in what.submissions if _may_have_a_run(each)] or [last]
    return Doubted(
        job_id=what.job.id,
        inputs=last.inputs,
        is_inline=bool(last.is_inline),
        windows=[Window(each.intended_at, _over_at(each, settings)) for each in doubtful],
        over_at=_over_at(last, settings),
        is_over=last.answered_at is not None or (last.session is not None and last.session not in alive),
        was_absent=sum(each.verdict is Verdict.ABSENT for each in what.submissions) >= MOST_ABSENT,
        told=frozenset(each.told for each in doubtful if each.told),
        addresses=frozenset(each.address for each in doubtful if each.address),
    )


def _may_have_a_run(submission: Submission) -> bool:
    """Tell whether a submit may have started a run that is not known yet; one that was taken for absent may."""
    return submission.verdict is None or submission.verdict.is_open or submission.verdict is Verdict.ABSENT


def _over_at(submission: Submission, settings: Settings) -> datetime:
    return submission.answered_at or submission.intended_at + settings.run.submit_deadline


def is_undecided(what: Unanswered) -> bool:
    """Tell whether a job is in review for no other reason than that nothing told of its last submit."""
    is_without_run = what.job.state is JobState.REVIEW and what.job.request_id is None
    return is_without_run and what.submissions[-1].verdict is Verdict.UNRESOLVED


def submission_of(what: Unanswered, proof: Proof) -> str | None:
    """Return which submit of a job without an answer a run names, or was made when it was, or nearest to it."""
    made_at = proof.made_at
    waiting = [each for each in what.submissions if each.verdict is None or each.verdict.is_open]
    if made_at is None or not waiting:
        return None
    shown = urls_of(proof.request) if proof.request else ()
    if named := [each for each in waiting if each.address in shown]:
        return named[0].token
    return min(waiting, key=lambda each: abs(each.intended_at - made_at)).token


def conclude(
    what: Unanswered, doubted: Doubted, proof: Proof, settings: Settings, plan: Plan, settle: timedelta
) -> tuple[Answered | None, Outcome | None]:
    """Turn a proof into what is written to the ledger and what becomes of the job; neither: it is looked at again."""
    job = what.job
    if proof.finding is Finding.FOUND:
        return as_answered(proof), adopted(job, proof, plan)
    if proof.finding is Finding.ABSENT:
        return Answered(Verdict.ABSENT, detail=proof.why), Advance(Trigger.NOT_SENT)
    since = max(doubted.over_at, min(what.account_up_at or doubted.over_at, job.observed_at))
    if job.observed_at < since + _patience(doubted, proof, settings, settle):
        return None, None
    if due_in := _sent_again(what, proof, settings):
        return None, Advance(Trigger.NOT_SENT, due_in)
    message = f"Whether a run was started is not known: {proof.why}. Decide with `sam3d review {job.id}`."
    return Answered(Verdict.UNRESOLVED, detail=proof.why), Fail(Trigger.UNTOLD, "submit_unknown", message)


def _sent_again(what: Unanswered, proof: Proof, settings: Settings) -> timedelta | None:
    """Return when a submit that was answered with a 5xx is sent again, or None where it is not, or not any more.

    The vendor's documentation allows it: with the setting it is believed where nothing speaks against it.
    """
    if settings.submit.server_error != "retry" or not (proof.gap and proof.gap.is_silence):
        return None
    refused = [each for each in what.submissions if (each.http_status or 0) >= 500]
    if not refused or refused[-1] is not what.submissions[-1]:
        return None
    due_in = submit_again(len(refused))
    ends_at = refused[0].intended_at + settings.submit.retry_for
    return due_in if what.job.observed_at + due_in <= ends_at else None


def _patience(doubted: Doubted, proof: Proof, settings: Settings, settle: timedelta) -> timedelta:
    """Return how long to look: where there is no history only until it is clear that it is not just away.

    One that answers but can't be read to its end, or does not show yet what was sent, is waited for four times as long:
    a burst is over by then.
    """
    if settings.history.mode == "off" and doubted.is_over:
        return NOW
    if proof == NO_HISTORY and doubted.is_over:
        return settings.history.settle
    longer = 4 if proof.gap and proof.gap.is_passing else 1
    return longer * max(settings.history.deadline, 1.2 * settle)


def as_answered(proof: Proof) -> Answered:
    """Return what is written of a submit whose run was found."""
    return Answered(Verdict.ADOPTED, proof.request.request_id if proof.request else None, detail=proof.why)


def adopted(job: Job, proof: Proof, plan: Plan) -> Advance:
    """Go on with the run that was found."""
    if proof.request is None:
        raise AssertionError("what was found is named")
    made_at = proof.made_at or job.observed_at
    found = going_on(job, proof.request.request_id, proof.request.status, made_at, plan)
    return replace(found, learnt=replace(found.learnt, tells_of_account=True))


def going_on(job: Job, request_id: str, status: str, made_at: datetime, plan: Plan) -> Advance:
    """Go on with a run that is a job's, to be polled; the vendor's hour counts from when it accepted it."""
    submitted_at = min(made_at, job.observed_at)
    learnt = Learnt(request_id=request_id, remote_status=status, submitted_at=submitted_at)
    return Advance(Trigger.ANSWERED, max(NOW, plan.first - (job.observed_at - submitted_at)), learnt)
