"""A consumer of events that outlives the broker: it connects again, and keeps what it heard."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import AMQPError
from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import KombuError
from kombu.message import Message

BROKEN = (KombuError, AMQPError, OSError)
QUEUE = Queue("witness", Exchange("sam3d.events", type="topic"), "sam3d.#", durable=True)


@dataclass(frozen=True)
class Heard:
    """One delivery of an event; the same event may be heard more than once."""

    id: str
    type: str
    subject: str | None


class Witness:
    """Hears every event on a durable queue of its own, on a thread and a connection of its own."""

    def __init__(self, broker_url: str) -> None:
        self.heard: list[Heard] = []
        self._url = broker_url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="witness", daemon=True)

    def bind(self) -> None:
        """Declare its queue; to be called again after the virtual host was lost."""
        with self._connected() as connection:
            QUEUE(connection.default_channel).declare()

    def start(self) -> None:
        """Listen from now on."""
        self.bind()
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stopped.set()
        self._thread.join(timeout=30)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        # A broker that was frozen or cut off must not keep the thread.
        with Connection(self._url, connect_timeout=2, transport_options={"read_timeout": 5}) as connection:
            yield connection

    def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                self._drain()
            except BROKEN:
                self._stopped.wait(0.2)

    def _drain(self) -> None:
        with self._connected() as connection, self._consumer(connection):
            while not self._stopped.is_set():
                try:
                    connection.drain_events(timeout=0.3)
                except TimeoutError:
                    continue

    def _consumer(self, connection: Connection) -> Consumer:
        return Consumer(connection.default_channel, [QUEUE], on_message=self._hear)

    def _hear(self, message: Message) -> None:
        headers: dict[str, Any] = message.headers or {}
        self.heard.append(Heard(str(headers["ce-id"]), str(headers["ce-type"]), headers.get("ce-subject")))
        message.ack()
