"""What a step learnt is committed: in one statement where that is all there is to it, else part by part."""

from worker.database import at_once
from worker.database.at_once import Whole
from worker.database.engine import single
from worker.database.files import facts_of
from worker.events.payloads import change_payload
from worker.rules.job import Job
from worker.rules.lifecycle import ANNOUNCED_ON, LOGGED_END
from worker.rules.onward import Kept
from worker.rules.outcome import Change, Outcome, decide
from worker.rules.plain import is_plain_answer, is_plain_end
from worker.work import ledger, reads
from worker.work.changes import Recorded
from worker.work.ends import log_end, told_of_end
from worker.work.services import Services


def commit(services: Services, job: Job, outcome: Outcome, kept: Kept | None = None) -> Recorded:
    """Commit what a step learnt: the submission's answer in any case, the job's change if the fence holds.

    With it goes the poll that was ``kept`` for it.

    Safe to run twice because the second time one statement finds a newer version and writes nothing, and the parts are
    written by token and version.
    """
    whole = kept.with_end(outcome) if kept else outcome
    if whole and (recorded := _commit_whole(services, job, decide(job.state, job.attempts, whole))):
        return recorded
    return ledger.commit_answer(services, job, outcome) if job.token else reads.commit(services, job, outcome, kept)


def _commit_whole(services: Services, job: Job, change: Change) -> Recorded | None:
    """Commit a change of the job alone, as most are, in one statement; None: it is more, or nothing was written."""
    if not (is_plain_answer(job, change) or is_plain_end(job, change)):
        return None
    what = _whole(job, change, services)
    with single(services.engine) as connection:
        written = at_once.write(connection, what)
    if written is None:
        return None
    if change.state in LOGGED_END:
        log_end(job.id, change.state, **told_of_end(job, change))
    return Recorded(change, written.version, [written.event])


def _whole(job: Job, change: Change, services: Services) -> Whole:
    """Return what is written: no file is stored but those of the change."""
    payload = change_payload(job, change, [facts_of(file) for file in change.files])
    answer = ledger.answer_with_run(change) if job.token else None
    grace = services.settings.upkeep.sweep_grace
    return Whole(job, change, grace, ANNOUNCED_ON[job.state, change.state], payload, answer)
