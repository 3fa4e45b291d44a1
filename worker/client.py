"""What a Python producer imports: submit a photo, wait for its event, download what was made.

Sending and waiting need the broker alone; downloading the links of an event, or the database that holds the files.
"""

import json
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.message import Message

from worker.broker.connection import connection_options, unreachable, why
from worker.broker.delivery import body_bytes
from worker.broker.topology import (
    CONFIRMED,
    PUBLISH_ERRORS,
    RECONSTRUCT_KEY,
    declare_if_new,
    events_exchange,
    inbox_exchange,
)
from worker.config.environment import Settings, load_settings
from worker.errors import ConfigurationError, Sam3dError, WaitTimeout
from worker.intake.envelope import read_object
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.outputs.saving import write_file
from worker.rules.lifecycle import EventType
from worker.rules.untrusted import Unreadable

OUTCOMES = frozenset({EventType.SUCCEEDED, EventType.FAILED, EventType.CANCELLED, EventType.REFUSED})
"""The events after which nothing more happens to a job."""

LONGEST_JOB = timedelta(minutes=65)


class SendUncertain(Sam3dError):
    """The broker did not confirm a request, which may have arrived; ``job_id`` is what to send it again with."""

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(
            f"The broker did not confirm the request ({why}). Send it again with the job id {job_id}: "
            "if it did arrive, there is no second job."
        )
        self.job_id = job_id


@dataclass(frozen=True)
class JobEvent:
    """An event of one job, as the CloudEvent said it."""

    id: str
    type: EventType
    job_id: str
    content: Mapping[str, Any] = field(repr=False)

    @property
    def is_outcome(self) -> bool:
        """Whether nothing more happens to the job."""
        return self.type in OUTCOMES

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


class Client:
    """A producer's connection. Use it as a context manager; events are heard from its start on.

    Not safe for several threads at once.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        self._engine: Any = None  # Made by the first download: who only sends and waits needs no database.
        # By job id, for the jobs of this client alone: the events of all others pass by.
        self._heard: dict[str, deque[JobEvent]] = {}
        self._sent: dict[str, set[str]] = {}  # The identities of the messages, by job id.
        self._made: dict[str, object] = {}  # The outputs that were heard of, with their links, by job id.

    def __enter__(self) -> Self:
        url = self._settings.broker.url
        self._connection = Connection(url, connect_timeout=5, heartbeat=0, **connection_options(self._settings.broker))
        try:
            self._connection.ensure_connection(max_retries=1, timeout=10, reraise_as_library_errors=False)
            declare_if_new(self._connection)
        except PUBLISH_ERRORS as error:
            self._connection.release()
            raise unreachable(error, url) from None
        channel = self._connection.channel()
        self._producer = Producer(self._connection.channel())
        self._events = Queue(
            f"sam3d.client.{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}",
            Exchange(events_exchange.name, type="topic", passive=True),
            "sam3d.reconstruction.#",
            durable=False,
            exclusive=not self._settings.broker.is_embedded,
            auto_delete=True,
        )
        self._consumer = Consumer(channel, [self._events], on_message=self._hear, no_ack=True)
        self._consumer.consume()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.release()
        if self._engine:
            self._engine.dispose()

    def submit(self, image: str | Path | bytes, **fields: Any) -> str:
        """Send a request and return its job id; the broker has confirmed it.

        ``image`` and ``mask`` are a path, bytes, or an http(s) URL; the rest is as in the request's schema. Sending
        the same ``job_id`` again makes no second job, it announces the first again; so does the same
        ``idempotency_key``, until its job has failed or was cancelled.

        Raises:
            InvalidMessage: names the field and the fix; nothing was sent.
        """
        return self.send(prepare_request(image, **fields))

    def send(self, request: Mapping[str, Any]) -> str:
        """Send a request that :func:`prepare_request` made, and return its job id.

        Raises:
            SendUncertain: the broker did not confirm it; sent again with its ``job_id`` it makes no second job.
        """
        job_id, message_id = str(request["job_id"]), str(uuid4())
        self._sent.setdefault(job_id, set()).add(str(derived_job_id("amqp", message_id)))
        self._heard.setdefault(job_id, deque())
        try:
            self._producer.publish(
                json.dumps(request, allow_nan=False).encode(),
                exchange=inbox_exchange.name,
                routing_key=RECONSTRUCT_KEY,
                content_type="application/json",
                content_encoding="utf-8",
                message_id=message_id,
                **CONFIRMED,
            )
        except PUBLISH_ERRORS as error:
            raise SendUncertain(job_id, type(error).__name__) from None
        return job_id

    def wait(self, job_id: str, within: timedelta = LONGEST_JOB) -> JobEvent:
        """Wait for the outcome of a job that this client submitted.

        Raises:
            WaitTimeout: there was none in time; the job goes on.
        """
        for event in self.follow([job_id], within):
            if event.is_outcome:
                return event
        raise WaitTimeout(f"Job {job_id} had no outcome within {within.total_seconds():.0f} s; it goes on.")

    def follow(self, job_ids: Iterable[str], within: timedelta = LONGEST_JOB) -> Iterator[JobEvent]:
        """Give the events of jobs as they come, until each has its outcome or the time is over.

        A duplicate is told which job it became (``duplicate_of``); from then on that job is followed.
        """
        pending = set(job_ids)
        ends_at = time.monotonic() + within.total_seconds()
        while pending and (left := ends_at - time.monotonic()) > 0:
            heard = [each for job_id in pending for each in self._take(job_id)]
            for event in heard:
                if event.is_outcome or event.duplicate_of:
                    pending.discard(event.job_id)
                if event.duplicate_of:
                    pending.add(event.duplicate_of)
                yield event
            if not heard:
                self._drain(min(left, 1.0))

    def _take(self, job_id: str) -> list[JobEvent]:
        heard = self._heard.setdefault(job_id, deque())
        return [heard.popleft() for _ in range(len(heard))]

    def _drain(self, seconds: float) -> None:
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return
        except PUBLISH_ERRORS as error:
            raise ConfigurationError(
                f"The broker went away ({why(error, self._settings.broker.url)}); the jobs go on. See `sam3d jobs`."
            ) from None

    def _hear(self, message: Message) -> None:
        event = read_event(message)
        if event and event.job_id in self._heard and not self._is_of_another(event):
            self._heard[event.job_id].append(event)
            if event.has_succeeded:
                self._made[event.job_id] = event.content.get("outputs")
            if event.duplicate_of:
                self._heard.setdefault(event.duplicate_of, deque())

    def _is_of_another(self, event: JobEvent) -> bool:
        """Tell whether it was somebody else's message that was refused: anybody may send one that names our job."""
        own, refused = self._sent.get(event.job_id), event.refuses_message
        return bool(own and refused) and refused not in (own or ())

    def download(self, job_id: str, folder: str | Path) -> list[Path]:
        """Write a job's outputs into a folder and return their paths; each is complete, or is not there.

        They are got by the links of the event that was heard; without such links, from the database.

        Raises:
            ConfigurationError: the database can't be asked.
            Sam3dError: the job has no outputs, or what was read is not what was stored.
        """
        from worker.outputs.fetching import fetch_files, read_links

        if links := read_links(self._outputs_told(job_id)):
            return list(fetch_files(links, Path(folder)))
        return self._download_ours(job_id, folder)

    def _outputs_told(self, job_id: str) -> object:
        """Return a job's outputs as its event told them; None where this client has not heard it."""
        return self._made.get(job_id)

    def _download_ours(self, job_id: str, folder: str | Path) -> list[Path]:
        """Write a job's outputs as the database has them."""
        from worker.database import engine
        from worker.outputs.stores import Stores

        self._engine = self._engine or engine.create_database_engine(self._settings.database.url, 1)
        try:
            made = _outputs(self._engine, job_id)
            place = Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            stores = Stores(self._settings.storage, self._engine)
            return [write_file(stores.read(file), file, place) for file in made]
        except engine.DatabaseError as error:
            raise engine.refusal(error) from None


def _outputs(engine: Any, job_id: str) -> Sequence[Mapping[str, Any]]:
    from worker.database import files
    from worker.database.engine import transaction

    with transaction(engine) as connection:
        made = files.of_job(connection, job_id)
    if not made:
        raise Sam3dError(f"Job {job_id} has no outputs; see `sam3d job {job_id}`.")
    return made


def read_event(message: Message) -> JobEvent | None:
    """Read a CloudEvent of ``sam3d.events``; None for one that is not about a job."""
    headers = message.headers or {}
    try:
        content = read_object(body_bytes(message.body))
        return JobEvent(str(headers["ce-id"]), EventType(headers["ce-type"]), str(headers["ce-subject"]), content)
    except (Unreadable, KeyError, ValueError):
        return None
