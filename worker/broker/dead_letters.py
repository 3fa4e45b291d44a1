"""The dead letters: what is in ``sam3d.dead``, why, and how it goes back to where it came from."""

from base64 import b64encode
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from amqp.exceptions import NotFound
from kombu import Connection
from kombu.message import Message
from kombu.pools import ProducerPool

from worker.broker.delivery import as_mapping, as_text, body_bytes
from worker.broker.frames import leave_encoded
from worker.broker.quarantine import EXCHANGE, KEY, REASON, SEEN, SEEN_BEFORE, letter_id, publish_copy
from worker.broker.topology import (
    DEAD,
    INBOX,
    INBOX_KEYS,
    RECONSTRUCT_KEY,
    REQUESTS,
    REQUESTS_KEY,
    dead_queue,
    queue_name,
    work_exchange,
)
from worker.errors import Sam3dError
from worker.rules.lifecycle import Step

PATIENCE_SECONDS = 5


class Way(NamedTuple):
    """An exchange and a routing key."""

    exchange: str
    routing_key: str

    def __str__(self) -> str:
        return f"{self.exchange}/{self.routing_key}" if self.exchange else self.routing_key


TO_REQUESTS, TO_INBOX = Way("", REQUESTS), Way(INBOX, RECONSTRUCT_KEY)

WAYS_BACK: Mapping[Way, Way] = {
    TO_REQUESTS: TO_REQUESTS,
    Way(REQUESTS, REQUESTS): TO_REQUESTS,
    Way(work_exchange.name, REQUESTS_KEY): TO_REQUESTS,  # It had to wait in the delay ladder.
    Way("", INBOX): TO_INBOX,
    **{Way(INBOX, key): Way(INBOX, key) for key in INBOX_KEYS},
    **{Way(work_exchange.name, again): Way(INBOX, key) for key, again in INBOX_KEYS.items()},
    **{Way(work_exchange.name, step): Way(work_exchange.name, step) for step in Step},
    **{Way("", queue_name(step)): Way(work_exchange.name, step) for step in Step},
}
"""By what a message of ours can have come, and how it goes back to the same queue: whatever a letter says, it goes
nowhere else."""

OURS = ("x-sam3d-", "x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-opt-deaths")
"""How the headers begin that were set on the way to the dead letters; a message goes back without them, but for when
it was seen first."""


@dataclass(frozen=True)
class DeadLetter:
    """A message in ``sam3d.dead``, which stays there until it is acknowledged."""

    message: Message

    @cached_property
    def id(self) -> str:
        """A name that is the same whenever it is looked at; copies of one message share it."""
        return letter_id(self.message_id, self.task_id, self.came_by, body_bytes(self.message.body))

    @property
    def headers(self) -> Mapping[str, Any]:
        """Its headers, ours among them."""
        return as_mapping(self.message.headers)

    @property
    def message_id(self) -> str | None:
        """What AMQP calls the message's id."""
        return as_text(as_mapping(self.message.properties).get("message_id"))

    @property
    def task_id(self) -> str | None:
        """What Celery calls the task's id."""
        return as_text(self.headers.get("id"))

    @property
    def reason(self) -> str:
        """Why it is here, in our words or in the broker's."""
        return str(self.headers.get(REASON) or self._death.get("reason") or "unknown")

    @property
    def came_by(self) -> Way:
        """What it says that it came by, which anybody can have written; empty where nobody said so."""
        if KEY in self.headers:
            return Way(str(self.headers.get(EXCHANGE) or ""), str(self.headers[KEY]))
        keys = self._death.get("routing-keys")
        return Way(str(self._death.get("exchange") or ""), str(keys[0]) if isinstance(keys, list) and keys else "")

    @property
    def way_back(self) -> Way | None:
        """How it goes back to the queue that it came from; None: it came by no way of ours."""
        return WAYS_BACK.get(self.came_by)

    @property
    def seen_at(self) -> int | None:
        """When a worker had it first, seconds since 1970, by our mark or by when the broker moved it; None: unknown."""
        marked, died = self.headers.get(SEEN), self._death.get("time")
        if isinstance(marked, int):
            return marked
        return int((died.replace(tzinfo=UTC) - SEEN_BEFORE).timestamp()) if isinstance(died, datetime) else None

    @property
    def _death(self) -> Mapping[str, Any]:
        """The broker's account of why it moved the message; each wait in the delay ladder is one as well."""
        deaths = self.headers.get("x-death")
        accounts = [as_mapping(each) for each in deaths] if isinstance(deaths, list) else []
        return next((each for each in accounts if each.get("reason") not in {None, "expired"}), {})

    def summary(self) -> dict[str, Any]:
        """Return what tells it from others, and nothing of what it holds."""
        return {
            "id": self.id,
            "reason": self.reason,
            **self.came_by._asdict(),
            "message_id": self.message_id,
            "task_id": self.task_id,
            "content_type": self.message.content_type,
            "bytes": len(body_bytes(self.message.body)),
        }

    def contents(self) -> dict[str, Any]:
        """Return all there is; a body that is no text is given as base64."""
        properties = {name: each for name, each in as_mapping(self.message.properties).items() if name in _SHOWN}
        body = body_bytes(self.message.body)
        try:
            text, encoding = body.decode(), "utf-8"
        except UnicodeDecodeError:
            text, encoding = b64encode(body).decode(), "base64"
        shown = {"properties": properties, "headers": dict(self.headers), "body_encoding": encoding, "body": text}
        return {**self.summary(), **shown}


_SHOWN = ("content_encoding", "correlation_id", "type", "reply_to", "priority", "timestamp", "app_id")


def read(connection: Connection) -> Iterator[DeadLetter]:
    """Give each dead letter once, the oldest first. What is not acknowledged goes back when the channel closes."""
    channel: Any = connection.default_channel
    leave_encoded(channel)
    try:
        count = channel.queue_declare(DEAD, passive=True).message_count
    except NotFound:
        return
    arrived: deque[Message] = deque()
    # They go back in their order where one consumer had them; each `basic.get` is another one to a quorum queue.
    connection.Consumer([dead_queue], on_message=arrived.append, auto_declare=False).consume()
    for _ in range(count):  # What is quarantined meanwhile is for the next time.
        try:
            while not arrived:
                connection.drain_events(timeout=PATIENCE_SECONDS)
        except TimeoutError:  # Somebody else looks at the rest of them.
            return
        yield DeadLetter(arrived.popleft())


def find(connection: Connection, wanted: str) -> DeadLetter:
    """Return the dead letter of that id.

    Raises:
        Sam3dError: there is none.
    """
    for letter in read(connection):
        if letter.id == wanted:
            return letter
    raise _unknown([wanted])


def chosen(connection: Connection, wanted: Collection[str] | None) -> Iterable[DeadLetter]:
    """Give the dead letters with these ids, or all that are there.

    Raises:
        Sam3dError: there is no such letter.
    """
    if wanted is None:
        return read(connection)
    letters = [letter for letter in read(connection) if letter.id in wanted]
    if missing := sorted(set(wanted) - {letter.id for letter in letters}):
        raise _unknown(missing)
    return letters


def send_back(producers: ProducerPool, letter: DeadLetter, way: Way) -> None:
    """Send a dead letter by a way of ours, under its own identity.

    It is acknowledged once the broker confirmed its copy: who is killed in between sends it twice, which is harmless.

    Raises:
        ValueError: that is no way of ours.
        PUBLISH_ERRORS: the broker did not take it; it stays.
    """
    if way not in WAYS_BACK.values():
        raise ValueError(f"{way} is no way of ours")
    headers = {name: each for name, each in letter.headers.items() if not name.startswith(OURS)}
    headers |= {SEEN: letter.seen_at} if letter.seen_at else {}
    publish_copy(producers, letter.message, headers, way.exchange, way.routing_key)
    letter.message.ack()


def _unknown(missing: Collection[str]) -> Sam3dError:
    return Sam3dError(f"There is no dead letter {', '.join(missing)}; see `sam3d dead list`.")
