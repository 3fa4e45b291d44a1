"""Messages that are published together: one wait for the confirms of all, on a channel that is theirs alone.

py-amqp waits for each confirm where a connection asks for confirms: by a ``basic_publish`` that it gives each channel
of such a connection. That of its class does not wait. The broker counts what comes over a channel and confirms by that
number, several at once if it likes; what no queue takes it gives back before that
(https://www.rabbitmq.com/docs/confirms).
"""

import time
from collections.abc import Sequence
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError, MessageNacked
from kombu.pools import ProducerPool

from worker.broker.publishing import ACQUIRE_SECONDS, Fate, Publication, publish_each
from worker.broker.topology import CONFIRMED, PUBLISH_ERRORS

TRIES = 2
"""How often a batch is published; what was confirmed, once."""


class Batch:
    """Messages under way, and what the broker has said of them so far."""

    def __init__(self, publications: Sequence[Publication]) -> None:
        self._publications = publications
        self._numbered: dict[int, int] = {}  # By what the broker confirms, each the place of a message here.
        self._confirmed: set[int] = set()
        self._returned: set[str] = set()

    @property
    def left(self) -> Sequence[Publication]:
        """The messages that the broker has not taken."""
        return [each for place, each in enumerate(self._publications) if place not in self._confirmed]

    @property
    def is_answered(self) -> bool:
        """Whether the broker has said of each message that is under way whether it takes it."""
        return not self._numbered

    def publish(self, channel: Any, number: int) -> int:
        """Publish what is left, in its order, the first as this number of the channel's; return that of the next."""
        left = [place for place in range(len(self._publications)) if place not in self._confirmed]
        self._numbered = dict(enumerate(left, number))
        for place in left:
            Channel.basic_publish(channel, **_written(channel, self._publications[place]), mandatory=True)
        return number + len(left)

    def note(self, number: int, *, has_all_before: bool, is_taken: bool) -> None:
        """Take in whether the broker takes a message, or all up to it."""
        meant = [each for each in self._numbered if each == number or (has_all_before and each < number)]
        places = {self._numbered.pop(each) for each in meant}
        self._confirmed |= places if is_taken else set()

    def give_back(self, message_id: str) -> None:
        """Take in that no queue takes a message."""
        self._returned.add(message_id)

    def fates(self, of_left: Sequence[Fate]) -> Sequence[Fate]:
        """Return what became of each message, given what became of those that are left."""
        rest = iter(of_left)
        return [
            each.how["message_id"] not in self._returned if place in self._confirmed else next(rest)
            for place, each in enumerate(self._publications)
        ]


def _written(channel: Any, publication: Publication) -> dict[str, Any]:
    """Write a message as kombu's producer does."""
    how = dict(publication.how)
    way = {name: how.pop(name) for name in ("exchange", "routing_key")}
    form = {name: how.pop(name) for name in ("content_type", "content_encoding", "headers")}
    properties = {**how, "delivery_mode": CONFIRMED["delivery_mode"]}
    return {"msg": channel.prepare_message(publication.body, priority=0, **form, properties=properties), **way}


class Batches:
    """Publishes batches, one after the other, over a connection of the pool that it keeps. For one thread."""

    def __init__(self, producers: ProducerPool) -> None:
        self._producers = producers
        self._connection: Any = None
        self._channel: Any = None
        self._number = 1
        self._batch = Batch(())

    def publish(self, publications: Sequence[Publication]) -> Sequence[Fate]:
        """Publish messages in their order; return what became of each.

        What was left when a connection broke, or refused for now, is published once more. A broker that closes the
        channel does not say because of which message: what is left then is published one by one.
        """
        batch, error = Batch(publications), None
        for _ in range(TRIES):
            error = self._try(batch)
            if isinstance(error, ChannelError):
                return batch.fates(publish_each(self._producers, batch.left))
            if not batch.left:
                break
        return batch.fates([error or MessageNacked()] * len(batch.left))

    def _try(self, batch: Batch) -> Exception | None:
        """Publish what is left of a batch and wait; return what stopped it."""
        try:
            channel = self._channel or self._open()
            self._batch = batch
            self._number = batch.publish(channel, self._number)
            self._await(batch)
        except PUBLISH_ERRORS as error:
            self._drop()
            return error
        except BaseException:
            self._drop()
            raise
        return None

    def _open(self) -> Any:
        """Make a channel whose messages are counted and confirmed from now on."""
        if self._connection is None:
            self._connection = self._producers.connections.acquire(block=True, timeout=ACQUIRE_SECONDS)
        self._connection.ensure_connection(**CONFIRMED["retry_policy"])
        channel: Any = self._connection.channel()
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)
        channel.events["basic_return"].add(self._on_return)
        self._channel, self._number = channel, 1
        return channel

    def _await(self, batch: Batch) -> None:
        ends_at = time.monotonic() + CONFIRMED["confirm_timeout"]
        while not batch.is_answered:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._connection.drain_events(timeout=left)

    def _on_ack(self, number: int, has_all_before: bool) -> None:
        self._batch.note(number, has_all_before=has_all_before, is_taken=True)

    def _on_nack(self, number: int, has_all_before: bool) -> None:
        self._batch.note(number, has_all_before=has_all_before, is_taken=False)

    def _on_return(self, _: Exception, __: str, ___: str, message: Any) -> None:
        self._batch.give_back(message.properties["message_id"])

    def _drop(self) -> None:
        """Give the connection up: what it says late is of no batch that is to come, and it is not asked to close."""
        self._channel = None
        if self._connection is not None:
            self._connection.collect()

    def close(self) -> None:
        """Give the connection back."""
        self._channel = None
        if self._connection is not None:
            self._connection.release()
