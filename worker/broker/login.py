"""Whom the broker knows us as: the user in its URL, where it takes a message under that name.

It may know us by another one: a certificate's, a token's, or that of a proxy which logs in by itself.
"""

from typing import Any
from weakref import WeakKeyDictionary

from amqp.exceptions import PreconditionFailed
from kombu.pools import ProducerPool

from worker.broker.publishing import publish
from worker.log import Log

NO_QUEUE = "sam3d.nobody"
"""A routing key that leads nowhere: the broker looks at who publishes before it looks for a queue."""

log = Log(__name__)

_answers: WeakKeyDictionary[ProducerPool, str | None] = WeakKeyDictionary()
"""What the broker said, kept for as long as a process publishes: whose a request is must not change from one to the
next."""


def user_of(producers: ProducerPool) -> str | None:
    """Return whom the broker knows us as; None where the URL does not say, or says another name. It is asked once.

    Raises:
        PUBLISH_ERRORS: the broker did not answer.
    """
    return _answers[producers] if producers in _answers else ask_again(producers)


def ask_again(producers: ProducerPool) -> str | None:
    """Return whom the broker knows us as by now; raises as :func:`user_of`."""
    user = _answers[producers] = _ask(producers)
    return user


def user_in_url(producers: ProducerPool) -> str | None:
    """Return whom the broker's URL calls us; None where it does not say: a certificate does."""
    connections: Any = producers.connections
    return connections.connection.userid or None


def _ask(producers: ProducerPool) -> str | None:
    """Publish a message under the name in the URL to nowhere: the broker refuses one under another's name."""
    user = user_in_url(producers)
    try:
        if user:
            publish(producers, b"", exchange="", routing_key=NO_QUEUE, user_id=user)
    except PreconditionFailed:
        log.warning(
            "senders_unknown",
            reason="the broker does not know us by the user in its URL",
            next="put the name that it knows us by into SAM3D_BROKER_URL and restart; no message's sender is asked "
            "after until then",
        )
        return None
    return user
