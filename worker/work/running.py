"""A step that is due is run, and what follows is sent; what follows at once is done here next, or by a message."""

from functools import partial

from worker.database.engine import DatabaseError, describe
from worker.log import Log, bound_contextvars
from worker.rules.lifecycle import NOW, FollowUp
from worker.rules.retry import BROKEN_WINDOW
from worker.telemetry.failpoints import reach
from worker.work import executor
from worker.work.services import Services

log = Log(__name__)


def run(services: Services, task_id: str | None, due: FollowUp) -> None:
    """Run a step and send what follows; through an outage of the database, the same message again."""
    with bound_contextvars(job_id=due.ticket.job_id, task_id=task_id):
        try:
            follow_up = executor.execute(services, due.step, due.ticket)
            services.post.follow((), follow_up)
            if follow_up:
                reach(f"{due.step}.sent")
        except DatabaseError as error:
            log.warning("step_delayed", step=due.step, reason=describe(error), next="it comes again in 5 s")
            services.post.follow((), FollowUp(due.step, due.ticket, BROKEN_WINDOW))


def go_on(services: Services, task_id: str | None, submit: FollowUp | None) -> None:
    """Have a job that was accepted submitted in the next slot of this process; where many wait for one, by a message.

    So whoever accepts is free for the next request, and a burst is accepted before it is submitted.
    """
    if submit and not _is_next(services, task_id, submit):
        services.post.follow((), submit)
    reach("accept.sent")


def _is_next(services: Services, task_id: str | None, submit: FollowUp) -> bool:
    """Have it wait for a slot, if this process submits, and few wait; a process that ends sends its message instead."""
    if submit.step not in services.steps or submit.delay > NOW:
        return False
    act, instead = partial(_run_alone, services, task_id, submit), partial(services.post.follow, (), submit)
    return services.next_up.take(act, instead)


def _run_alone(services: Services, task_id: str | None, due: FollowUp) -> None:
    """Run a step of which nobody is told how it went."""
    try:
        run(services, task_id, due)
    except Exception:
        with bound_contextvars(job_id=due.ticket.job_id, task_id=task_id):
            log.exception("step_broke", step=due.step, next="the sweep finds the job")
