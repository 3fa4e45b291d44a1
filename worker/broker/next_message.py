"""The message of a step: a Celery task, published without Celery, which whoever only decides something would wait for.

What a task message has is said in Celery's documentation ("Message Protocol", version 2).
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kombu.pools import ProducerPool

from worker.broker.publishing import Publication, Unroutable
from worker.broker.topology import delay_exchange, ladder_step, queue_name, work_exchange
from worker.rules.lifecycle import NOW, FollowUp, Ticket


def step_publication(follow_up: FollowUp, *, is_embedded: bool) -> Publication:
    """Write the message of a step, which waits in the ladder where it has to wait.

    The broker of an embedded service has no ladder: a worker of Celery's holds its message until then.
    """
    step, task_id, waits = follow_up.step, str(uuid4()), follow_up.delay > NOW
    headers = {"lang": "py", "task": queue_name(step), "id": task_id, "root_id": task_id}
    held = {"eta": (datetime.now(UTC) + follow_up.delay).isoformat()} if waits and is_embedded else {}
    exchange = delay_exchange(ladder_step(follow_up.delay)) if waits and not is_embedded else work_exchange
    how = {
        "exchange": exchange.name,
        "routing_key": step.value,
        "headers": {**headers, **held},
        "correlation_id": task_id,
        "message_id": task_id,
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
    return Publication(_body(follow_up.ticket), how)


def publish_step(producers: ProducerPool, follow_up: FollowUp, *, is_embedded: bool) -> None:
    """Publish the message of a step.

    Raises:
        PUBLISH_ERRORS: the broker did not take it, or has no queue for it.
    """
    if not step_publication(follow_up, is_embedded=is_embedded).publish(producers):
        raise Unroutable


def _body(ticket: Ticket) -> bytes:
    """Write a task's arguments, by position and by name, and the workflow that it is part of, which is none."""
    fields: dict[str, Any] = {"job_id": ticket.job_id, "version": ticket.version}
    return json.dumps([[], fields, {}]).encode()
