"""Adopt: runs that the vendor lists and the ledger lost are given to the jobs that they were started for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from worker.database import lineage
from worker.database.engine import Connection, transaction
from worker.database.lineage import Adopted, Lineage, Run, Stray
from worker.log import Log
from worker.rules.evidence import Evidence
from worker.rules.job import Job
from worker.rules.lifecycle import Trigger
from worker.rules.outcome import Fail, Outcome
from worker.rules.pairing import Lineup, Waiting, first_in_turn
from worker.rules.run import Listed, RemoteStatus
from worker.vendor.history import mark_inputs
from worker.work import changes
from worker.work.changes import Settled
from worker.work.conclusion import going_on
from worker.work.enclosing import digest_of
from worker.work.services import Services

log = Log(__name__)


@dataclass(frozen=True)
class Lost:
    """A job that waits to be submitted, without its files, and the run that it was submitted for already."""

    job: Job
    adopted: Adopted


@dataclass(frozen=True)
class Found:
    """What a look says of the jobs that wait: which runs are theirs, and who may have one that nobody can tell."""

    lost: Sequence[Lost]
    untold: Sequence[Job]
    strays: Sequence[Stray]
    is_ours_alone: bool

    @property
    def speaks_for_a_loss(self) -> bool:
        """Whether the database lacks what it once knew, though no process remembers it."""
        return bool(self.lost) or (bool(self.untold) and self.is_ours_alone)


NOTHING = Found((), (), (), is_ours_alone=False)


def find(services: Services, seen: Lineage, evidence: Evidence, beat: Callable[[], None]) -> Found:
    """Pair the runs that nobody here has with the waiting jobs of the same inputs: as many as there are of both."""
    lineup = Lineup(evidence)
    is_ours_alone = lineup.is_ours_alone(seen.newest.at if seen.newest else None)
    with transaction(services.engine) as connection:
        waiting = lineage.waiting_jobs(connection, services.account) if lineup.free else ()
    is_careful = seen.missing_since is not None or is_ours_alone
    lost: list[Lost] = []
    untold: list[Job] = []
    for job_id, accepted_at, parameters in waiting:
        beat()
        if is_careful or lineup.resembles(mark_inputs(parameters)):
            match _match(services, lineup, job_id, accepted_at):
                case Lost() as found:
                    lost.append(found)
                case Job() as job:
                    untold.append(job)
    return Found(lost, first_in_turn(untold, len(lineup.free)), _strays(lineup), is_ours_alone)


def _strays(lineup: Lineup) -> Sequence[Stray]:
    """Return the runs that are left, and may be what somebody asks for again: they are whole, and show all."""
    rows = [row for row in lineup.free if row.inputs and row.status is not RemoteStatus.FAILED]
    return [Stray(_run(lineup, row), row.inputs, row.placed) for row in rows if row.inputs]


def _run(lineup: Lineup, row: Listed) -> Run:
    return Run(row.request_id, row.status, lineup.made_at(row))


def _match(services: Services, lineup: Lineup, job_id: str, accepted_at: datetime) -> Lost | Job | None:
    """Return a job with its run, a job that may have one, or neither."""
    with transaction(services.engine) as connection:
        job = lineage.waiting_job(connection, job_id)
    if job is None or not lineup.free:
        return None
    light, sent = replace(job, files=()), digest_of(job)
    waiting = Waiting(job_id, sent.inputs, accepted_at)
    if row := lineup.take_own(waiting):
        return Lost(light, Adopted(_run(lineup, row), sent, job.is_inline, job.is_addressed))
    return light if lineup.may_have(waiting) else None


def adopt(services: Services, lost: Lost) -> Settled:
    """Go on with a job's run.

    Safe to run twice because a job that waits no more is left alone, and a run is one submit's.
    """
    with transaction(services.engine) as connection:
        return give(connection, services, lost.job, lost.adopted)


def give(connection: Connection, services: Services, job: Job, adopted: Adopted) -> Settled:
    """Write a run to its job, to be polled, and the submit that it was found for to the ledger."""
    run, plan = adopted.run, services.outlook.terms().plan
    outcome = going_on(job, run.request_id, run.status, run.made_at, plan)
    written = _write(connection, services, job, outcome)
    if written:
        lineage.write_adopted(connection, str(uuid4()), job, services.worker_name, adopted)
        told = {"why": "the database was set back", "next": "the job goes on with it"}
        log.warning("run_adopted", job_id=job.id, request_id=run.request_id, **told)
    return written


def ask(services: Services, job: Job) -> Settled:
    """Put a job to review that may have been submitted before the database was set back, and may not."""
    message = (
        "The database was set back, and the vendor's request history lists runs that may be this job's. "
        f"Decide with `sam3d review {job.id}`."
    )
    with transaction(services.engine) as connection:
        return _write(connection, services, job, Fail(Trigger.UNTOLD, "submit_unknown", message))


def _write(connection: Connection, services: Services, job: Job, outcome: Outcome) -> Settled:
    recorded = changes.apply(connection, job, outcome, services.settings.upkeep.sweep_grace)
    return changes.settled(job, recorded)
