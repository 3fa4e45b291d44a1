"""How everything is published: persistent, confirmed by the broker, in less than 30 s or with an error."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from amqp.exceptions import ChannelError
from kombu import Producer
from kombu.exceptions import KombuError
from kombu.pools import ProducerPool

from worker.broker.topology import CONFIRMED, PUBLISH_ERRORS

ACQUIRE_SECONDS = 5

Fate = bool | Exception
"""What became of a message: whether any queue took it; or why the broker did not."""


class Unroutable(KombuError):
    """No queue takes a message: the broker gave it back before it confirmed it."""


@dataclass(frozen=True)
class Publication:
    """A message as it is published: its body, and by name its exchange, routing key, headers and properties.

    Its ``message_id`` is no other's: by it the broker's word on a message is told from that on another.
    """

    body: bytes = field(repr=False)
    how: Mapping[str, Any] = field(repr=False)

    def publish(self, producers: ProducerPool) -> bool:
        """Publish it alone; otherwise as :func:`publish`."""
        return publish(producers, self.body, **self.how)


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


def publish_each(producers: ProducerPool, publications: Sequence[Publication]) -> Sequence[Fate]:
    """Publish messages one after the other, each with a wait of its own; return what became of each.

    One that the broker refuses holds no other up; after any other error none is tried, as the broker is away.
    """
    fates: list[Fate] = []
    for each in publications:
        try:
            fates.append(each.publish(producers))
        except ChannelError as error:
            fates.append(error)
        except PUBLISH_ERRORS as error:
            fates += [error] * (len(publications) - len(fates))
            break
    return fates
