"""How everything is published: persistent, confirmed by the broker, in less than 30 s or with an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu import Producer
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool

from worker.broker.topology import CONFIRMED

ACQUIRE_SECONDS = 5


class Unroutable(KombuError):
    """No queue takes a message: the broker gave it back before it confirmed it."""


@contextmanager
def borrowed(producers: ProducerPool) -> Iterator[tuple[Producer, list[object]]]:
    """Give a producer, and the list of what the broker gives back of what is published as ``mandatory``."""
    returned: list[object] = []
    with producers.acquire(block=True, timeout=ACQUIRE_SECONDS) as producer:
        connection: Any = producer.connection
        has_returns = connection.transport.driver_type == "amqp"  # The in-memory broker gives nothing back.
        producer.on_return = (lambda *reply: returned.append(reply)) if has_returns else None
        try:
            yield producer, returned
            if has_returns:
                channel: Any = producer.channel
                channel.events.pop("basic_return", None)
        except BaseException:
            # A confirm that comes late must not be taken for the next message's; and a broker that does not
            # answer is not asked to close.
            connection.collect()
            raise
        finally:
            producer.on_return = None


def publish(producers: ProducerPool, body: bytes, **how: Any) -> bool:
    """Publish, wait for the confirm, and return whether any queue took it.

    Raises:
        PUBLISH_ERRORS: the broker did not take it.
    """
    with borrowed(producers) as (producer, returned):
        producer.publish(body, mandatory=True, **how, **CONFIRMED)
    return not returned
