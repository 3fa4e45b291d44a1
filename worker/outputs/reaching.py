"""Whether others can fetch what an address of ours leads to, as far as it can be told from here."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from worker.errors import ConfigurationError, OutputUnusable
from worker.network import create_client, deadline
from worker.outputs.stores import Stores
from worker.places import AllowedHosts

WITHIN = timedelta(seconds=15)
GOOD_FOR = timedelta(minutes=5)


def require_fetched(stores: Stores) -> None:
    """Fetch a small file by its address, as somebody does who has nothing else.

    Raises:
        ConfigurationError: it is not to be had so.
        StoreUnavailable: it could not be stored, or has no address.
    """
    _with_probe(stores, lambda address, content: _fetch(address, content, None))


def require_public(stores: Stores) -> None:
    """Check that an address leads to the public internet, and there over TLS; raises as ``require_fetched``."""
    _with_probe(stores, _fetch_from_public)


def _with_probe(stores: Stores, check: Callable[[str, bytes], None]) -> None:
    with stores.probe() as (location, content):
        check(stores.address(location, GOOD_FOR), content)


def _fetch_from_public(address: str, content: bytes) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https":
        raise ConfigurationError("An address of the store begins with http://, and not with https://.")
    _fetch(address, content, AllowedHosts((parts.hostname or "",)))


def _fetch(address: str, content: bytes, allowed: AllowedHosts | None) -> None:
    try:
        with create_client(connections=1, allowed=allowed) as client, deadline(WITHIN):
            answer = client.get(address)
    except OutputUnusable:
        raise ConfigurationError("An address of the store leads to a private network, as seen from here.") from None
    except httpx.HTTPError as error:
        raise ConfigurationError(f"An address of the store has no answer ({type(error).__name__}).") from None
    if answer.status_code != httpx.codes.OK or answer.content != content:
        raise ConfigurationError(f"An address of the store is answered with {answer.status_code}, not with the file.")
