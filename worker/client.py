"""What a Python producer imports: submit a photo, wait for its event, download what was made, ask about a job.

Sending, waiting and asking need the broker alone; downloading needs the links of an event, or the database.
"""

import json
import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.message import Message

from worker.broker.connection import connection_options, unreachable, why
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
from worker.events.heard import JobEvent, read_event
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.asks import Ask

__all__ = ["Client", "JobEvent", "SendUncertain"]

LONGEST_JOB = timedelta(minutes=65)

LONGEST_ANSWER = timedelta(seconds=60)


class SendUncertain(Sam3dError):
    """The broker did not confirm a request, which may have arrived; ``job_id`` is what to send it again with."""

    def __init__(self, job_id: str, why: str) -> None:
        super().__init__(
            f"The broker did not confirm the request ({why}). Send it again with the job id {job_id}: "
            "if it did arrive, there is no second job."
        )
        self.job_id = job_id


class Client:
    """A producer's connection. Use it as a context manager; events are heard from its start on.

    Not safe for several threads at once.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        # By job id, for the jobs of this client alone: the events of all others pass by.
        self._heard: dict[str, deque[JobEvent]] = {}
        self._sent: dict[str, set[str]] = {}  # The identities of the messages, by job id.
        self._answers: dict[str, JobEvent | None] = {}  # By what an ask that waits for its answer is called.
        self._returned: list[object] = []  # What the broker had no queue for.
        self._made: dict[str, object] = {}  # The outputs that were heard of last, with their links, by job id.

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
        keep: Any = None if self._settings.broker.is_embedded else lambda *reply: self._returned.append(reply)
        self._producer = Producer(self._connection.channel(), on_return=keep)
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
        self._publish(RECONSTRUCT_KEY, request, message_id=message_id)
        return job_id

    def _publish(self, key: str, fields: Mapping[str, Any], **how: Any) -> None:
        self._heard.setdefault(str(fields["job_id"]), deque())
        try:
            self._producer.publish(
                json.dumps(fields, allow_nan=False).encode(),
                exchange=inbox_exchange.name,
                routing_key=key,
                content_type="application/json",
                content_encoding="utf-8",
                **how,
                **CONFIRMED,
            )
        except PUBLISH_ERRORS as error:
            raise SendUncertain(str(fields["job_id"]), type(error).__name__) from None

    def status(self, job_id: str, within: timedelta = LONGEST_ANSWER) -> JobEvent:
        """Ask how a job stands and return its current event, or that which refuses the ask; so do the others.

        A job whose ``accepted`` was not announced yet is not known.

        Raises:
            SendUncertain: the broker did not confirm the message; asked again there is no second job.
            WaitTimeout: there was no answer in time.
        """
        return self._ask(Ask.STATUS, job_id, within)

    def cancel(self, job_id: str, within: timedelta = LONGEST_ANSWER) -> JobEvent:
        """Give a job up; a run that was started goes on and is paid. One that is over stays as it is."""
        return self._ask(Ask.CANCEL, job_id, within)

    def retry(self, job_id: str, within: timedelta = LONGEST_ANSWER) -> JobEvent:
        """Ask for a job in the place of one that failed or was cancelled: the event's ``job_id``, to be waited for."""
        return self._ask(Ask.RETRY, job_id, within)

    def _ask(self, ask: Ask, job_id: str, within: timedelta) -> JobEvent:
        name, ends_at = str(uuid4()), time.monotonic() + within.total_seconds()
        self._answers[name] = None
        self._returned.clear()
        try:
            self._publish(ask, {"job_id": str(job_id)}, message_id=name, correlation_id=name, mandatory=True)
            if self._returned:
                raise ConfigurationError(f"The broker has no queue for `{ask}`: start workers of this release.")
            while self._answers[name] is None and (left := ends_at - time.monotonic()) > 0:
                self._drain(min(left, 1.0))
        finally:
            answer = self._answers.pop(name)
        if answer is None:
            raise WaitTimeout(f"Nobody answered `{ask}` of job {job_id} within {within.total_seconds():.0f} s.")
        return answer

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
        if event and event.correlation_id in self._answers:
            self._answers[event.correlation_id] = event
            self._keep_links(event)
            self._heard.setdefault(event.job_id, deque())
        elif event and event.job_id in self._heard and not self._is_of_another(event):
            self._heard[event.job_id].append(event)
            self._keep_links(event)
            if event.duplicate_of:
                self._heard.setdefault(event.duplicate_of, deque())

    def _keep_links(self, event: JobEvent) -> None:
        made, receipt = event.content.get("outputs"), event.content.get("receipt")
        if isinstance(made, list):
            is_linked = isinstance(receipt, dict) and receipt.get("url")
            self._made[event.job_id] = [*made, receipt] if is_linked else made

    def _is_of_another(self, event: JobEvent) -> bool:
        """Tell whether it was somebody else's message that was refused: anybody may send one that names our job."""
        own, refused = self._sent.get(event.job_id), event.refuses_message
        return bool(own and refused) and refused not in (own or ())

    def download(self, job_id: str, folder: str | Path) -> list[Path]:
        """Write a job's outputs into a folder and return their paths; each is complete, or is not there.

        They are got by the links that were heard last, from the job's event or in the answer to :meth:`status`; where
        there are none, or they have expired, from the database.

        Raises:
            ConfigurationError: the database can't be asked.
            Sam3dError: the job has no outputs, or what was read is not what was stored.
        """
        from worker.outputs.fetching import fetch_files, read_links

        if links := read_links(self._made.get(job_id)):
            return list(fetch_files(links, Path(folder)))
        from worker.outputs.copying import copy_files

        return list(copy_files(self._settings, job_id, Path(folder)))
