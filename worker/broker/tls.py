"""The broker's TLS: what a connection is verified with, and whether the settings of it are usable."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.errors import ConfigurationError
from worker.rules.urls import BrokerAccess, require_broker_url


def tls_options(access: BrokerAccess) -> dict[str, Any] | bool:
    """Return py-amqp's options of TLS; it reads the files with each connection, so a renewed certificate is used.

    With ``amqps://`` the chain and the name of the broker's certificate are verified before a byte of user or password
    is sent. kombu alone would not look at the name, and would look for ``127.0.0.1`` where the URL says ``localhost``.

    Raises:
        ConfigurationError: names the setting that TLS, or the broker, can't be had with.
    """
    if access.is_embedded:
        return False
    require_broker_url(access.url)
    parts = urlsplit(access.url)
    return _tls(access, parts.hostname or "localhost") if parts.scheme == "amqps" else _plain(access)


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
