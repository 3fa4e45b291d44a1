"""An event as a listener reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kombu.message import Message

from worker.broker.delivery import as_mapping, body_bytes
from worker.rules.lifecycle import EventType
from worker.rules.untrusted import Unreadable, read_object

OUTCOMES = frozenset({EventType.SUCCEEDED, EventType.FAILED, EventType.CANCELLED, EventType.REFUSED})
"""The events after which nothing more happens to a job."""


@dataclass(frozen=True)
class JobEvent:
    """An event of one job, as the CloudEvent said it."""

    id: str
    type: EventType
    job_id: str
    content: Mapping[str, Any] = field(repr=False)
    correlation_id: str | None = field(default=None, compare=False)

    @property
    def is_outcome(self) -> bool:
        """Whether nothing more happens to the job; one that was asked about goes on, whoever was refused."""
        return self.type in OUTCOMES and "ask" not in self.content

    @property
    def refuses_message(self) -> str | None:
        """The identity of the message that was refused: its job goes on, if it is another message's."""
        return self.content.get("message_id") if self.type is EventType.REFUSED else None

    @property
    def duplicate_of(self) -> str | None:
        """The job that this one became, where the same request had been sent before."""
        return self.content.get("duplicate_of")

    @property
    def duplicate_of_event(self) -> str | None:
        """The event that this one tells again, for a sender whose request had been sent before."""
        return self.content.get("duplicate_of_event")

    @property
    def has_succeeded(self) -> bool:
        """Whether there are outputs to download."""
        return self.type is EventType.SUCCEEDED


def read_event(message: Message) -> JobEvent | None:
    """Read a CloudEvent of ``sam3d.events``; None for one that is not about a job."""
    headers, called = message.headers or {}, as_mapping(message.properties).get("correlation_id")
    try:
        content = read_object(body_bytes(message.body))
        kind, job_id = EventType(headers["ce-type"]), str(headers["ce-subject"])
        return JobEvent(str(headers["ce-id"]), kind, job_id, content, called if isinstance(called, str) else None)
    except (Unreadable, KeyError, ValueError):
        return None
