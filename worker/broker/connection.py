"""How the broker is reached: what every connection to it is made with, and why there is none, in words."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from amqp.exceptions import AccessRefused, NotAllowed
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from worker.broker.topology import CONNECTION, IN_MEMORY, PUBLISH_ERRORS
from worker.errors import ConfigurationError
from worker.rules.urls import BrokerAccess, is_loopback, require_broker_url

PRODUCERS = 2
"""Connections that a process without tasks publishes over."""

PORTS = {"amqp": 5672, "amqps": 5671}


def connection_options(access: BrokerAccess) -> dict[str, Any]:
    """Return what each of kombu's connections to the broker is made with, beside its URL.

    With ``amqps://`` the chain and the name of the broker's certificate are verified before a byte of user or password
    is sent. kombu alone would not look at the name, and would look for ``127.0.0.1`` where the URL says ``localhost``.

    Raises:
        ConfigurationError: names the setting that TLS can't be had with.
    """
    if access.is_embedded:
        return {"transport_options": IN_MEMORY, "ssl": False, "login_method": None}
    require_broker_url(access.url)
    parts = urlsplit(access.url)
    is_known_by_certificate = access.cert_file is not None and not parts.password
    return {
        "transport_options": CONNECTION,
        "ssl": _tls(access, parts.hostname or "localhost") if parts.scheme == "amqps" else _plain(access),
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


def _files(access: BrokerAccess) -> Mapping[str, Path | None]:
    return {
        "SAM3D_BROKER_CA_FILE": access.ca_file,
        "SAM3D_BROKER_CERT_FILE": access.cert_file,
        "SAM3D_BROKER_KEY_FILE": access.key_file,
    }


def _plain(access: BrokerAccess) -> bool:
    for name, file in _files(access).items():
        if file:
            raise ConfigurationError(f"{name} is for TLS: SAM3D_BROKER_URL must begin with amqps:// then.")
    return False


def _tls(access: BrokerAccess, host: str) -> dict[str, Any]:
    """Return py-amqp's options of TLS; it reads the files with each connection, so a renewed certificate is used."""
    authority, certificate, key = _files(access).values()
    context = ssl.create_default_context()
    try:
        if authority:
            context.load_verify_locations(authority)
    except OSError as error:
        raise _unusable("SAM3D_BROKER_CA_FILE", "is no file of certificates (PEM)", error) from None
    if key and not certificate:
        raise ConfigurationError("SAM3D_BROKER_KEY_FILE needs the certificate in SAM3D_BROKER_CERT_FILE.")
    try:
        if certificate:
            context.load_cert_chain(certificate, key, password="")  # Nobody is there to type one.
    except (OSError, ValueError) as error:
        why = "and SAM3D_BROKER_KEY_FILE are no certificate and its key without a passphrase (PEM)"
        raise _unusable("SAM3D_BROKER_CERT_FILE", why, error) from None
    return {
        "server_hostname": host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": authority and str(authority),
        "certfile": certificate and str(certificate),
        "keyfile": key and str(key),
    }


def _unusable(name: str, what: str, error: Exception) -> ConfigurationError:
    said = error.strerror if isinstance(error, OSError) else None
    return ConfigurationError(f"{name} {what}: {said or type(error).__name__}.")


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
