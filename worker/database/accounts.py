"""Who pays: whether the account works, is held, or is being tried with one waiting job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, or_, select, true, update

from worker.database.latest import submitted_since
from worker.database.records import submissions
from worker.database.tables import accounts, is_live, jobs, now
from worker.errors import HoldCause
from worker.rules.budget import MINUTE
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, NOW, FollowUp, JobState, Ticket, Verdict
from worker.rules.outcome import Hold
from worker.rules.retry import OUTPUT_LIFETIME
from worker.rules.standing import Refusals, RefusedReads

NOT_TRIED = (HoldCause.OPERATOR, HoldCause.RESTORED)
"""Causes that no job can tell the end of."""

_is_vendors = and_(accounts.c.held_at.is_not(None), accounts.c.held_cause != HoldCause.OPERATOR)
"""Whether the vendor's trouble stops an account; a hold that the last release wrote for a person is that person's."""


def hold(connection: Connection, name: str, reason: Hold, *, stops_reads: bool, job_id: str | None = None) -> bool:
    """Stop an account, or go on stopping it after a probe; return whether it was running.

    What the job that tries it is answered says why it is stopped now.
    """
    why = {"held_cause": reason.cause, "held_message": reason.message}
    stopped = (
        update(accounts)
        .where(accounts.c.name == name, func.coalesce(_is_vendors, False).is_(False))
        .values(**why, held_at=now, stops_reads=stops_reads, refused_probes=0, probed_at=now, probe_job_id=None)
        .returning(accounts.c.name)
    )
    if connection.execute(stopped).scalar():
        return True
    tried = accounts.c.probe_job_id == job_id
    connection.execute(
        update(accounts)
        .where(accounts.c.name == name)
        .values(
            **{column: case((tried, value), else_=accounts.c[column]) for column, value in why.items()},
            stops_reads=or_(accounts.c.stops_reads, literal(stops_reads)),
            refused_probes=accounts.c.refused_probes + case((tried, 1), else_=0),
            probe_job_id=case((tried, None), else_=accounts.c.probe_job_id),
        )
    )
    return False


def pause(connection: Connection, name: str, message: str) -> bool:
    """Stop an account's submits for a person, whatever the vendor does; return whether nobody had."""
    paused = (
        update(accounts)
        .where(accounts.c.name == name, accounts.c.paused_at.is_(None))
        .values(paused_at=now, paused_message=message)
        .returning(accounts.c.name)
    )
    return connection.execute(paused).scalar() is not None


_RUNNING = {
    "held_at": None, "held_cause": None, "held_message": None, "stops_reads": False, "probe_job_id": None,
    "resumed_at": now,
}  # fmt: skip


def resume_after(connection: Connection, name: str, job_id: str) -> HoldCause | None:
    """Let an account work again if this is the job that tries it; return what it was stopped for."""
    return _resume(connection, accounts.c.name == name, accounts.c.probe_job_id == job_id)


def resume(connection: Connection, name: str) -> HoldCause | None:
    """Let an account work again for all that the vendor has to do with it; return what it was stopped for."""
    return _resume(connection, accounts.c.name == name)


def _resume(connection: Connection, *which: ColumnElement[bool]) -> HoldCause | None:
    found = select(accounts.c.name, accounts.c.held_cause).where(_is_vendors, *which).with_for_update(key_share=True)
    row = connection.execute(found).first()
    if row is None:
        return None
    connection.execute(update(accounts).where(accounts.c.name == row.name).values(_RUNNING))
    return HoldCause(row.held_cause)


def lift(connection: Connection, name: str) -> Sequence[HoldCause]:
    """End the vendor's hold of an account and a person's; return what it was stopped for."""
    found = (
        select(accounts.c.paused_at, _is_vendors.label("is_vendors"), accounts.c.held_cause)
        .where(accounts.c.name == name)
        .with_for_update(key_share=True)
    )
    row = connection.execute(found).one()
    # Who resumes it knows more than what was counted.
    ended = {**_RUNNING, "paused_at": None, "paused_message": None, "unknown_submits": 0}
    if row.paused_at or row.is_vendors:
        connection.execute(update(accounts).where(accounts.c.name == name).values(ended))
    held = [HoldCause(row.held_cause)] if row.is_vendors else []
    return [*held, HoldCause.OPERATOR] if row.paused_at else held


def note_accepted(connection: Connection, name: str) -> None:
    """Count from nothing again: a submit was accepted. Where nothing was counted no row is locked."""
    counted = update(accounts).where(accounts.c.name == name, accounts.c.unknown_submits > 0)
    connection.execute(counted.values(unknown_submits=0))


def resume_from(connection: Connection, name: str, cause: HoldCause) -> HoldCause | None:
    """Let an account work again if it is held for this cause; return it if it was."""
    return _resume(connection, accounts.c.name == name, accounts.c.held_cause == cause)


def count_unknown(connection: Connection, name: str) -> int:
    """Count a submit whose answer does not tell; return how many there were in a row."""
    counted = (
        update(accounts)
        .where(accounts.c.name == name)
        .values(unknown_submits=accounts.c.unknown_submits + 1)
        .returning(accounts.c.unknown_submits)
    )
    return connection.execute(counted).scalar() or 0


def count_refusal(connection: Connection, job_id: str) -> None:
    """Note that a job was refused: where a held account is tried, others go first."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(refusals=jobs.c.refusals + 1))


AT_ONCE = 500
"""Submits of which the one that was sent last need not be the one that was answered last: more are not under way."""

_ACCEPTED = (Verdict.ACCEPTED, Verdict.ADOPTED)
_REFUSED = (Verdict.HELD, Verdict.DISPUTED)


def refusals(connection: Connection, job: Job) -> Refusals:
    """Read what is known of refusals when a submit, which has no answer in the ledger yet, is refused."""
    first = select(func.min(submissions.c.answered_at)).where(*_disputed(job)).scalar_subquery()
    count = select(func.count()).where(*_disputed(job)).scalar_subquery()
    others = (
        select(submissions.c.job_id)
        .join(jobs, jobs.c.id == submissions.c.job_id)
        .where(jobs.c.account == job.account, jobs.c.id != job.id, submissions.c.answered_at > first)
    )
    passed = others.where(submissions.c.verdict.in_(_ACCEPTED), submissions.c.intended_at > first)
    since = others.where(submissions.c.intended_at > first - MINUTE)
    came_back = since.where(submissions.c.verdict == Verdict.DISPUTED, _passed_later())
    query = select(count, passed.exists(), came_back.exists(), _last_verdict(job))
    of_job, has_passed, do_come_back, last = connection.execute(query).one()
    return Refusals(of_job + 1, has_passed, do_come_back, last in _REFUSED)


def _disputed(job: Job) -> Sequence[ColumnElement[bool]]:
    return submissions.c.job_id == job.id, submissions.c.verdict == Verdict.DISPUTED, submissions.c.token != job.token


def _passed_later() -> ColumnElement[bool]:
    """Tell whether the job of a submit had a later one that was accepted."""
    later = submissions.alias()
    is_later = (later.c.job_id == submissions.c.job_id, later.c.answered_at > submissions.c.answered_at)
    return exists().where(*is_later, later.c.verdict.in_(_ACCEPTED))


def _last_verdict(job: Job) -> ColumnElement[str | None]:
    """Return what the account's last submit was answered, of those that tell whether it works."""
    tells = (submissions.c.verdict.in_((*_ACCEPTED, *_REFUSED)), submissions.c.answered_at.is_not(None))
    query = select(submissions.c.verdict, submissions.c.answered_at).join(jobs, jobs.c.id == submissions.c.job_id)
    others = query.where(jobs.c.account == job.account, *tells, submissions.c.token != job.token)
    newest = others.order_by(submissions.c.intended_at.desc()).limit(AT_ONCE).subquery()
    return select(newest.c.verdict).order_by(newest.c.answered_at.desc()).limit(1).scalar_subquery()


def refused_reads(connection: Connection, job: Job) -> RefusedReads:
    """Write down that a read of a run was refused, and read what is known of the reads of others."""
    noted = update(jobs).where(jobs.c.id == job.id).values(refused_at=func.coalesce(jobs.c.refused_at, now))
    since = connection.execute(noted.returning(jobs.c.refused_at)).scalar()
    ended_at = case((jobs.c.state == JobState.SUCCEEDED, jobs.c.finished_at))
    read_at = func.greatest(jobs.c.running_at, jobs.c.completed_at, ended_at)
    recent = (jobs.c.account == job.account, jobs.c.id != job.id, *submitted_since(OUTPUT_LIFETIME))
    last = connection.execute(select(func.max(read_at)).where(*recent)).scalar()
    since_then = true() if last is None else jobs.c.refused_at > last
    under_way = jobs.c.state.in_((JobState.PROCESSING, JobState.FETCHING))
    another = exists().where(*recent, under_way, jobs.c.refused_at.is_not(None), since_then)
    is_another_refused = bool(connection.execute(select(another)).scalar())
    return RefusedReads(last is not None and since is not None and last > since, is_another_refused)


@dataclass(frozen=True)
class Held:
    """An account that is due to be tried, and why it is stopped."""

    name: str
    cause: HoldCause
    is_asked_in_vain: bool
    is_paused: bool


def to_probe(connection: Connection, interval: timedelta) -> Sequence[Held]:
    """List the held accounts that were not tried within the interval, and count this as a try.

    One whose submits a person stops is tried only for the reads of its runs.
    """
    due = (
        update(accounts)
        .where(
            _is_vendors,
            accounts.c.held_cause.not_in(NOT_TRIED),
            or_(accounts.c.paused_at.is_(None), accounts.c.stops_reads),
            or_(accounts.c.probed_at.is_(None), accounts.c.probed_at <= now - interval),
        )
        .values(probed_at=now, probe_job_id=None)
        .returning(accounts.c.name, accounts.c.held_cause, _is_asked_in_vain, accounts.c.paused_at)
    )
    return [Held(name, HoldCause(cause), vain, bool(paused)) for name, cause, vain, paused in connection.execute(due)]


ASKED_FOR = timedelta(hours=1)
_is_asked_in_vain = or_(accounts.c.refused_probes > 0, accounts.c.held_at < now - ASKED_FOR)
"""Whether the credits seemed enough and were not, or have seemed too few for so long that a job may know better."""


def let_one_through(connection: Connection, name: str) -> FollowUp | None:
    """Choose the waiting job whose step tries a held account, a submit if one waits; None where no job does.

    It is another one each time: first those that were refused the least.
    """
    states = [state for state, step in DRIVEN_BY.items() if step]
    first = (
        select(jobs.c.id, jobs.c.version, jobs.c.state)
        .join(accounts, accounts.c.name == jobs.c.account)
        .where(
            accounts.c.name == name,
            _is_vendors,
            accounts.c.held_cause.not_in(NOT_TRIED),
            is_live,
            jobs.c.state.in_(states),
            jobs.c.lease_until.is_(None),
            case((jobs.c.state == JobState.ACCEPTED, accounts.c.paused_at.is_(None)), else_=accounts.c.stops_reads),
        )
        .order_by(
            jobs.c.state != JobState.ACCEPTED,
            jobs.c.refusals,
            jobs.c.attempts,
            jobs.c.priority.desc(),
            jobs.c.accepted_at,
        )
        .limit(1)
    )
    row = connection.execute(first).first()
    if row is None:
        return None
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(due_at=now))
    connection.execute(update(accounts).where(accounts.c.name == name).values(probe_job_id=row.id))
    step = DRIVEN_BY[JobState(row.state)]
    return FollowUp(step, Ticket(row.id, row.version), NOW) if step else None
