"""Limit: the vendor's request limit is used up for a while, and what that teaches of it."""

from worker.database import figures, slots, window
from worker.database.engine import Connection
from worker.log import Log
from worker.rules.budget import Kind
from worker.rules.job import Job
from worker.rules.outcome import Lesson, Limited

log = Log(__name__)


def close(connection: Connection, job: Job, why: Limited, *, is_read: bool) -> None:
    """Let the account's requests wait until the limit's next window; told once for each."""
    if window.close(connection, job.account, why, is_read=is_read):
        log.warning(
            "requests_limited",
            account=job.account,
            opens_in=why.opens_in.total_seconds(),
            learnt_limit=why.learnt_limit,
            next="goes on by itself then; check SAM3D_REQUESTS_PER_MINUTE if this comes often",
        )


def note_read(connection: Connection, job: Job) -> None:
    """Learn from a read that was answered while submits were limited: reads don't count."""
    if window.note_read(connection, job.account, job.observed_at):
        log.info("reads_found_free", account=job.account, next="polls and results draw from the budget no more")


def note_look(connection: Connection, job: Job, lesson: Lesson) -> None:
    """Count the second request of a look, and learn whether results tell that runs go on."""
    if lesson.is_repeated:
        slots.charge(connection, job.account, Kind.POLL, lesson.slot)
    if lesson.single_look is None or not figures.learn_look(connection, job.account, works=lesson.single_look):
        return
    following = "each look asks for the result" if lesson.single_look else "looks ask for the status, for a day"
    log.info("single_look_learnt", account=job.account, works=lesson.single_look, next=following)
