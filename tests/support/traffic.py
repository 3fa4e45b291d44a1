"""A careful producer: every way in, what was not confirmed or not accepted is sent again, and some nonsense between."""

import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from kombu import Connection, Producer

from tests.support.judge import as_json, as_task, request_of
from tests.support.witness import BROKEN
from worker.broker.topology import declare
from worker.intake.envelope import REQUESTED

CONFLICT = "another payload under an identity that is taken"
PATIENCE_SECONDS = 15.0
"""How long after it was sent a request that nobody accepted is sent again."""

_PATIENT = {"delivery_mode": 2, "confirm_timeout": 5.0}
_OPTIONS = {"confirm_publish": True, "read_timeout": 6, "write_timeout": 6}

SEEDS = 8

Message = dict[str, Any]


class Traffic(threading.Thread):
    """Sends requests in bursts until told to stop; then only what still has to be sent again."""

    def __init__(self, broker_url: str, accepted: Callable[[], set[str]], chance: random.Random, rate: float) -> None:
        super().__init__(name="traffic", daemon=True)
        self.sent: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self._url = broker_url
        self._accepted = accepted
        self._chance = chance
        self._rate = rate
        self._waiting: deque[tuple[str, Message]] = deque()
        self._asked: deque[str] = deque()
        self._known: set[str] = set()
        self._looked_at = time.monotonic()
        self._is_over = threading.Event()
        self._has_ended = threading.Event()

    def stop(self) -> None:
        """Ask for nothing new."""
        self._is_over.set()

    def end(self) -> None:
        """Send nothing any more."""
        self._is_over.set()
        self._has_ended.set()
        self.join(timeout=30)

    def ask_for(self, job_id: str) -> None:
        """Send a request with this id among the next ones."""
        self._asked.append(job_id)

    @property
    def is_all_accepted(self) -> bool:
        """Whether each request that was made has a job."""
        return not self._waiting and self._known >= set(self.sent)

    def run(self) -> None:
        """Connect, send, and connect again, whatever the broker does."""
        while not self._has_ended.is_set():
            try:
                with self._connected() as producer:
                    self._send_on(producer)
            except BROKEN:
                self.counts["connections lost"] += 1
                self._has_ended.wait(0.3)

    @contextmanager
    def _connected(self) -> Iterator[Producer]:
        with Connection(self._url, connect_timeout=3, transport_options=_OPTIONS) as connection:
            connection.ensure_connection(max_retries=1)
            declare(connection)
            with connection.Producer() as producer:
                yield producer

    def _send_on(self, producer: Producer) -> None:
        while not self._has_ended.is_set():
            if not self._is_over.is_set():
                self._ask()
            self._look()
            while self._waiting:
                job_id, message = self._waiting[0]
                producer.publish(**message, **_PATIENT)  # type: ignore[arg-type]
                self.sent[job_id] = time.monotonic()
                self._waiting.popleft()
            self._has_ended.wait(0.5)

    def _ask(self) -> None:
        """Make the requests of half a second: often none, sometimes a burst."""
        burst = self._chance.choice((0, 0, 1, 1, 2, 4, 6))
        fresh = [str(UUID(int=self._chance.getrandbits(128), version=4)) for _ in range(round(burst * self._rate / 4))]
        while self._asked:
            fresh.append(self._asked.popleft())
        for job_id in fresh:
            self.sent[job_id] = time.monotonic()
            self._queue(job_id)
        if self._known and self._chance.random() < 0.1:
            self._make_nonsense(self._chance.choice(sorted(self._known)))

    def _queue(self, job_id: str) -> None:
        way = self._chance.choice(sorted(WAYS))
        self.counts[f"sent as {way}"] += 1
        self._waiting.append((job_id, WAYS[way](body_of(job_id))))

    def _make_nonsense(self, job_id: str) -> None:
        """Send a duplicate, another payload under a taken identity, or a message of an old version."""
        kind = self._chance.choice(("duplicate", "conflict", "stale"))
        self.counts[f"sent a {kind}"] += 1
        message = {
            "duplicate": lambda: as_task(body_of(job_id)),
            "conflict": lambda: as_json({**body_of(job_id), "prompt": CONFLICT}),
            "stale": lambda: _stale(job_id, self._chance.choice(("submit", "poll", "fetch"))),
        }[kind]()
        self._waiting.append((job_id, message))

    def _look(self) -> None:
        """See what was accepted; what was not for long is sent again."""
        if time.monotonic() < self._looked_at + 3:
            return
        self._looked_at = time.monotonic()
        self._known |= self._accepted()
        waiting = {job_id for job_id, _ in self._waiting}
        for job_id in sorted(set(self.sent) - self._known - waiting):
            if self._looked_at > self.sent[job_id] + PATIENCE_SECONDS:
                self.counts["sent again"] += 1
                self._queue(job_id)


def body_of(job_id: str) -> dict[str, Any]:
    """Return the request of a job; its prompt names it on the vendor's bill."""
    return request_of(job_id, seed=seed_of(job_id))


def seed_of(job_id: str) -> int:
    """Return a job's seed, one of few: the model of another job is most likely another model."""
    return UUID(job_id).int % SEEDS


def _as_structured_event(fields: dict[str, Any]) -> Message:
    event = {"specversion": "1.0", "type": REQUESTED, "source": "/soak", "id": fields["job_id"], "data": fields}
    return {**as_json(event), "content_type": "application/cloudevents+json"}


def _as_binary_event(fields: dict[str, Any]) -> Message:
    attributes = {"specversion": "1.0", "type": REQUESTED, "source": "/soak", "id": fields["job_id"]}
    return {**as_json(fields), "headers": {f"ce-{name}": value for name, value in attributes.items()}}


WAYS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "a task": as_task,
    "plain JSON": as_json,
    "a structured event": _as_structured_event,
    "a binary event": _as_binary_event,
}
"""The ways in."""


def _stale(job_id: str, step: str) -> Message:
    """Make the message of a step that was done long ago."""
    task_id = str(uuid4())
    return {
        "body": json.dumps([[], {"job_id": job_id, "version": 1}, {}]).encode(),
        "exchange": "sam3d",
        "routing_key": step,
        "headers": {"lang": "py", "task": f"sam3d.{step}", "id": task_id, "root_id": task_id, "retries": 0},
        "correlation_id": task_id,
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
