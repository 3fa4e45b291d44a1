"""What a read of a run found is committed, and whether its worker goes on with the job at once."""

import structlog

from worker.database import particulars
from worker.database.engine import transaction
from worker.rules.job import Job
from worker.rules.onward import GOES_ON_WITH, Lease
from worker.rules.outcome import Outcome, learnt_of
from worker.work import changes
from worker.work.changes import Recorded
from worker.work.judging import judge_read
from worker.work.services import Services
from worker.work.taking import free

log = structlog.get_logger(__name__)


def commit(services: Services, job: Job, outcome: Outcome) -> Recorded:
    """Commit what a poll or a fetch came to, if the fence holds. Safe to run twice because the fence is its version."""
    settings, session = services.settings, services.session.taken_key()
    lease = _lease(services, session) if GOES_ON_WITH in services.steps else None
    with transaction(services.engine) as connection:
        outcome = judge_read(connection, job, outcome, settings.upkeep.probe_interval, settings.run.record_lifetime)
        recorded = changes.apply(connection, job, outcome, settings.upkeep.sweep_grace, lease=lease)
        if recorded.version is None:
            particulars.note_run(connection, job, learnt_of(outcome))
    if recorded.version is None:
        log.warning("job_fenced", state=job.state, next="whoever took it over goes on")
        free(services, job.ticket, session)  # It may be ourselves: the reply to a first commit was lost.
    return recorded


def _lease(services: Services, session: int) -> Lease:
    """Return the lease under which a job is kept whose next step can be taken at once."""
    needs_slot = services.outlook.terms().draws_for(GOES_ON_WITH)
    return Lease(services.settings.run.lease_for(GOES_ON_WITH), session, needs_slot)
