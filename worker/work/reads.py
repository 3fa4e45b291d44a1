"""What a read of a run found is committed, and whether its worker goes on with the job at once."""

import time
from dataclasses import replace
from datetime import timedelta

from worker.database import late_facts
from worker.database.engine import Connection, transaction
from worker.log import Log
from worker.rules import onward
from worker.rules.job import Job
from worker.rules.onward import GOES_ON_WITH, Kept
from worker.rules.outcome import NOTHING, Outcome, learnt_of
from worker.work import changes
from worker.work.changes import Recorded
from worker.work.drawing import draw_at_once
from worker.work.judging import judge_read
from worker.work.services import Services

log = Log(__name__)


def keep(services: Services, job: Job, outcome: Outcome, taken_at: float) -> Kept | None:
    """Keep a job that this worker goes on with at once; it took it at ``taken_at`` of the monotonic clock."""
    if GOES_ON_WITH not in services.steps or not onward.is_over(outcome):
        return None  # Nothing is asked for it: an answer to a submit is committed first.
    if not onward.goes_on(job, outcome) or not (onward.is_named(outcome) or draw_at_once(services, job, GOES_ON_WITH)):
        return None
    return onward.keep(job, outcome, timedelta(seconds=time.monotonic() - taken_at))


def commit(services: Services, job: Job, outcome: Outcome, kept: Kept | None = None) -> Recorded:
    """Commit what a poll or a fetch came to, and the poll that was ``kept`` for it, if the fence holds.

    Safe to run twice because the fence is the version that was taken.
    """
    with transaction(services.engine) as connection:
        recorded = _written(connection, services, job, outcome, kept)
        if recorded.version is None:
            polled = kept.polled.learnt if kept else NOTHING
            late_facts.note_run(connection, job, polled | learnt_of(outcome))
    if recorded.version is None:
        log.warning("job_fenced", state=job.state, next="whoever took it over goes on")
    return recorded


def _written(connection: Connection, services: Services, job: Job, outcome: Outcome, kept: Kept | None) -> Recorded:
    """Write an end with all that was learnt since the job was taken; where it does not end, one after the other."""
    upkeep, lifetime = services.settings.upkeep, services.settings.run.record_lifetime
    end = kept.with_end(outcome) if kept else None
    if kept and end is None:
        polled = changes.apply(connection, kept.taken, kept.polled, upkeep.sweep_grace)
        after = _written(connection, services, replace(job, version=polled.version or job.version), outcome, None)
        return replace(after, events=[*polled.events, *after.events])
    judged = judge_read(connection, job, end or outcome, upkeep.probe_interval, lifetime)
    return changes.apply(connection, job, judged, upkeep.sweep_grace)
