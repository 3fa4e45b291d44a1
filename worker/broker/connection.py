"""How the broker is reached: what every connection to it is made with, and why there is none, in words."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, NotAllowed
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from worker.broker.tls import tls_options
from worker.broker.topology import CONNECTION, IN_MEMORY, PUBLISH_ERRORS
from worker.errors import ConfigurationError
from worker.rules.urls import BrokerAccess, is_loopback

PRODUCERS = 2
"""Connections that a process without tasks publishes over."""

PORTS = {"amqp": 5672, "amqps": 5671}


def connection_options(access: BrokerAccess) -> dict[str, Any]:
    """Return what each of kombu's connections to the broker is made with, beside its URL.

    Raises:
        ConfigurationError: names the setting that TLS can't be had with.
    """
    if access.is_embedded:
        return {"transport_options": IN_MEMORY, "ssl": False, "login_method": None}
    is_known_by_certificate = access.cert_file is not None and not urlsplit(access.url).password
    return {
        "transport_options": CONNECTION,
        "ssl": tls_options(access),
        "login_method": "EXTERNAL" if is_known_by_certificate else None,
    }


@contextmanager
def connected(access: BrokerAccess) -> Iterator[Connection]:
    """Give a connection to the broker, made within 10 s.

    Raises:
        PUBLISH_ERRORS: the broker is away, or refuses us.
    """
    with Connection(access.url, connect_timeout=5, **connection_options(access)) as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5, reraise_as_library_errors=False)
            yield connection
        except PUBLISH_ERRORS:
            connection.collect()  # A broker that does not answer is not asked to close.
            raise


@contextmanager
def opened_producers(access: BrokerAccess) -> Iterator[ProducerPool]:
    """Give what publishes; nothing is connected yet."""
    connection = Connection(access.url, connect_timeout=5, **connection_options(access))
    connections = connection.Pool(limit=PRODUCERS)
    try:
        yield ProducerPool(connections, limit=PRODUCERS)
    finally:
        connections.force_close_all()


def why_unverified(url: str) -> str | None:
    """Say why whoever is on the way to the broker could be taken for it; nobody is on the way to this machine."""
    parts = [urlsplit(each) for each in url.split(";")]
    if all(each.scheme == "amqps" or is_loopback(each.hostname or "localhost") for each in parts):
        return None
    return (
        "User, password and messages go to the broker in clear: SAM3D_BROKER_URL with amqps:// encrypts and verifies."
    )


def why(error: BaseException, url: str) -> str:
    """Say which broker was not had and why, in our words: what it said may quote anything."""
    if isinstance(error, OperationalError) and error.__cause__:
        error = error.__cause__  # kombu's name for whatever the transport raised.
    return f"{_places(url)}: {_reason(error)}"


def _places(url: str) -> str:
    parts = [urlsplit(each) for each in url.split(";")]
    return ", ".join(f"{each.hostname or 'localhost'}:{each.port or PORTS.get(each.scheme)}" for each in parts)


def _reason(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused ({error.verify_message.rstrip('.')}); see SAM3D_BROKER_CA_FILE"
        case AccessRefused():
            return _NOT_HERE if error.method_name else _NOT_IN
        case NotAllowed(method_name="Connection.open"):
            return "no such virtual host, or this user may not use it"
        case TimeoutError():
            return "no answer in time"
        case OSError(strerror=str(said)):
            return said
    return type(error).__name__


_NOT_IN = "wrong user or password (`guest` may only log in on the broker's own machine)"
_NOT_HERE = "the user may not configure, write and read everything in the virtual host"
"""What is refused to a channel is refused for a method; a login is refused for none."""


def unreachable(error: BaseException, url: str) -> ConfigurationError:
    """Make the one line for whoever has asked for something that needs the broker."""
    return ConfigurationError(
        f"The broker can't be reached ({why(error, url)}): check SAM3D_BROKER_URL and that RabbitMQ runs."
    )
