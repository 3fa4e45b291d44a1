"""Pure: what a URL in the settings must be, said in one line before anything is connected."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from worker.errors import ConfigurationError


class BrokerAccess(Protocol):
    """How the broker is reached: its URL, with its password, and the files (PEM) that its TLS needs."""

    @property
    def url(self) -> str:
        """The URL, with its password."""

    @property
    def is_embedded(self) -> bool:
        """Whether it is the in-memory transport, within this process."""

    @property
    def ca_file(self) -> Path | None:
        """Certificates that vouch for the broker's."""

    @property
    def cert_file(self) -> Path | None:
        """Our own certificate."""

    @property
    def key_file(self) -> Path | None:
        """Its key."""


def why_no_address(value: object) -> str | None:
    """Say why a setting is no address that can be called at all, before a job depends on it."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
        is_good = parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(parts.hostname or "")) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        return "must be an http(s) URL such as https://api.segmind.com"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "must begin with https://: over http the key goes in clear to another host"
    return None


_HOST = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?|[0-9a-fA-F:]+"
)


def why_no_public(value: object) -> str | None:
    """Say why a setting is no address that others can be sent to: what is added to it must be all that is signed."""
    if why_no_address(value):
        return "must be an https:// URL such as https://files.example.com; http:// only for this very host"
    parts = urlsplit(str(value))
    if parts.username is not None or parts.query or parts.fragment or "?" in str(value) or "#" in str(value):
        return "takes a host and a path alone, no user, and nothing after a ? or #"
    return None


STORES = ("s3", "gs", "az", "file")
"""What the address of an object store begins with."""


def why_no_store(value: object) -> str | None:
    """Say why a setting is no address of an object store; credentials have no place in one."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in STORES:
        return "must be a URL that begins with s3://, gs://, az:// or file:///"
    if parts.username is not None or parts.query or parts.fragment:
        return "takes a bucket and a folder alone: credentials and options come from the cloud's own variables"
    is_folder = parts.scheme == "file" and not parts.netloc and len(parts.path) > 1
    is_bucket = parts.scheme != "file" and bool(parts.netloc)
    return None if is_folder or is_bucket else "must name a bucket (s3://bucket/folder) or a folder (file:///folder)"


def can_sign(store: str | None) -> bool:
    """Tell whether a store can be one that signs addresses: a cloud's, not a folder or the database."""
    return store is not None and not store.startswith("file:")


_NOTHING_AFTER = (
    "SAM3D_BROKER_URL takes nothing after a ? or #: TLS is amqps:// with SAM3D_BROKER_CA_FILE, "
    "SAM3D_BROKER_CERT_FILE and SAM3D_BROKER_KEY_FILE; in a password they are written %3F and %23."
)


def require_broker_url(url: str) -> None:
    """Check the broker's URL, which may name several hosts, one after the other, with a ``;`` between them.

    Raises:
        ConfigurationError: says what the URL must be; never what it is.
    """
    hosts = url.split(";")
    for each in hosts:
        _require_url("SAM3D_BROKER_URL", each, ("amqp", "amqps"))
        if urlsplit(each).query or urlsplit(each).fragment:
            raise ConfigurationError(_NOTHING_AFTER)
    if len(hosts) > 1 and any(urlsplit(each).scheme == "amqps" for each in hosts):
        raise ConfigurationError("SAM3D_BROKER_URL must name a single host with amqps://: its name is verified.")


def require_database_url(url: str) -> None:
    """Check the database's URL.

    Raises:
        ConfigurationError: says what the URL must be; never what it is.
    """
    _require_url("SAM3D_DATABASE_URL", url, ("postgresql+psycopg", "postgresql"))
    if "@" in urlsplit(url).netloc.rpartition("@")[0]:  # SQLAlchemy takes the rest for the host.
        raise ConfigurationError("SAM3D_DATABASE_URL: an @ in its user or password must be written %40.")


def _require_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    """Check the URL of a service, which holds a password and is never shown."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in schemes and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ConfigurationError(f"{name} must be a URL that begins with {schemes[0]}:// and is well formed.")


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
