"""The Celery tasks, in flow order. A message waits in the broker, never in a worker."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from kombu.exceptions import OperationalError
from kombu.message import Message

from worker.broker.quarantine import origin_of, put_aside, seen_for, send_on
from worker.broker.topology import (
    DEAD,
    PUBLISH_ERRORS,
    REQUESTS_KEY,
    delay_exchange,
    ladder_step,
)
from worker.database.engine import DatabaseError, describe
from worker.intake import reception
from worker.intake.admission import SENT
from worker.intake.redelivery import BROKE, comes_again, read_request, request_of, tell_sender
from worker.log import Log, bound_contextvars
from worker.rules.lifecycle import NOW, FollowUp, Step, Ticket
from worker.rules.retry import BROKEN_WINDOW
from worker.rules.untrusted import Unreadable
from worker.work.running import go_on, run
from worker.work.services import Services

log = Log(__name__)


def register(app: Celery, services: Services) -> None:
    """Define the tasks on an app, and on no other: Celery would share them with each app of this process."""
    define: Callable[..., Callable[[Callable[..., None]], object]] = partial(
        app.task, bind=True, shared=False, Request="worker.intake.consumer:Request"
    )

    def receive(task: Task[Any, None], message: Message) -> None:
        """Accept a request, or answer an ask about a job; it is acknowledged once that is committed or announced."""
        task_id = str(task.request.id)
        bound = bound_contextvars(task_id=task_id)
        with bound, services.reading.taken(len(message.body or "")):
            _receive(app, services, message, task_id)

    for name in SENT:
        define(name=name)(receive)

    @define(name="sam3d.submit")
    def submit(task: Task[Any, None], job_id: str, version: int) -> None:
        """Start the paid run of an accepted job."""
        run(services, str(task.request.id), FollowUp(Step.SUBMIT, Ticket(job_id, version), NOW))

    @define(name="sam3d.poll")
    def poll(task: Task[Any, None], job_id: str, version: int) -> None:
        """Look at a run once."""
        run(services, str(task.request.id), FollowUp(Step.POLL, Ticket(job_id, version), NOW))

    @define(name="sam3d.fetch")
    def fetch(task: Task[Any, None], job_id: str, version: int) -> None:
        """Download and store what a run made."""
        run(services, str(task.request.id), FollowUp(Step.FETCH, Ticket(job_id, version), NOW))


def _receive(app: Celery, services: Services, message: Message, task_id: str) -> None:
    """Take a request or an ask, or put it where it comes again; if that fails, the broker keeps it."""
    try:
        origin = origin_of(message, app.producer_pool)
        follow_up = reception.receive(services, read_request(message), origin, seen_for(message))
    except Unreadable as error:
        _move(partial(put_aside, app.producer_pool, message, str(error)))
    except Exception as error:  # Nothing that a message does to us may lose it.
        _put_away(app, services, message, error)
    else:
        go_on(services, task_id, follow_up)


def _put_away(app: Celery, services: Services, message: Message, error: Exception) -> None:
    """Let a request come again after an outage, and quarantine one that broke us."""
    if comes_again(error):
        log.warning("request_delayed", reason=describe(error), next="it comes again in 5 s")
        _move(partial(_delay, app, services, message))
        return
    has_trace = not isinstance(error, DatabaseError)
    log.error("request_broke", reason=describe(error), next=f"it goes to {DEAD}", exc_info=has_trace)
    _move(partial(put_aside, app.producer_pool, message, BROKE))
    tell_sender(services, message, request_of(message), BROKE)


def _delay(app: Celery, services: Services, message: Message) -> None:
    """Send a request into the ladder; the in-memory broker has none, and gives it to us again."""
    if services.settings.broker.is_embedded:
        raise OperationalError
    send_on(app.producer_pool, message, delay_exchange(ladder_step(BROKEN_WINDOW)).name, REQUESTS_KEY)


def _move(copy: Callable[[], None]) -> None:
    """Have a message copied elsewhere before it is acknowledged, or give it back to the broker."""
    try:
        copy()
    except PUBLISH_ERRORS as error:
        time.sleep(1)  # The broker gives it to a worker again at once.
        raise Reject(type(error).__name__, requeue=True) from None
