"""Which hosts may be reached, and until when: the sockets under the HTTP clients.

httpx bounds each read; a server that sends a byte now and then holds a caller for ever. Here every read and write
also ends at the deadline of the whole call, and a guarded client connects only to addresses it has checked.
"""

import ipaddress
import math
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore
import httpx

from worker.errors import OutputUnusable

_WRITE_BYTES = 64 * 1024

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")

# IPv6 addresses whose last 32 bits are the IPv4 address they lead to: compatible, mapped, and NAT64.
_IPV4_INSIDE = [ipaddress.IPv6Network(each) for each in ("::/96", "::ffff:0:0/96", "64:ff9b::/96")]
# And those that lead to one in some other way: NAT64 with a prefix of its own, Teredo, 6to4.
_TUNNELS = [ipaddress.IPv6Network(each) for each in ("64:ff9b:1::/48", "2001::/32", "2002::/16")]

_deadline: ContextVar[float] = ContextVar("deadline")


def _now() -> float:
    """Return seconds that count on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def deadline(within: timedelta) -> Iterator[None]:
    """End every network operation of the block within that time, and within that of a block around it."""
    ends_at = min(_deadline.get(math.inf), _now() + within.total_seconds())
    token = _deadline.set(ends_at)
    try:
        yield
    finally:
        _deadline.reset(token)


def has_time() -> bool:
    """Tell whether the deadline of the block has not passed yet."""
    return _deadline.get(math.inf) > _now()


def _remaining(timeout: float | None, expired: type[Exception]) -> float:
    left = _deadline.get() - _now()
    if left <= 0:
        raise expired("the deadline of the whole call passed")
    return left if timeout is None else min(timeout, left)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection whose every operation ends at the deadline of the call that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._has_sent = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # A worker that was frozen wakes up here: before the first byte that counts as not sent.
        for start in range(0, len(buffer), _WRITE_BYTES):
            expired = httpcore.WriteTimeout if self._has_sent else httpcore.ConnectTimeout
            left = _remaining(timeout, expired)
            self._has_sent = True
            self._stream.write(buffer[start : start + _WRITE_BYTES], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Self:
        secured = self._stream.start_tls(ssl_context, server_hostname, _remaining(timeout, httpcore.ConnectTimeout))
        return type(self)(secured)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _DeadlineBackend(httpcore.SyncBackend):
    """Opens connections that keep deadlines."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _remaining(timeout, httpcore.ConnectTimeout)
        return _DeadlineStream(super().connect_tcp(host, port, left, local_address, socket_options))


@dataclass(frozen=True)
class AllowedHosts:
    """Where outputs may be downloaded from: names, domains with a leading dot, or exact plain origins."""

    entries: tuple[str, ...]

    def refusal(self, url: str) -> str | None:
        """Say why a URL may not be read, without quoting it; None where it may."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return "the output's address is not a URL"
        if self.has_origin(host, port, parts.scheme):
            return None
        if parts.scheme != "https" or port not in {None, 443} or parts.username is not None:
            return "the output's address is not a plain https one"
        if not _HOST.fullmatch(host) or not any(_covers(entry.lower(), host) for entry in self.entries):
            return "the output's host is not in SAM3D_OUTPUT_HOSTS"
        return None

    def has_origin(self, host: str, port: int | None, scheme: str = "http") -> bool:
        """Tell whether just this address was allowed by the operator, private or not."""
        return f"{scheme}://{host}:{port}" in self.entries


def _covers(entry: str, host: str) -> bool:
    return host.endswith(entry) if entry.startswith(".") else host == entry


class _GuardedBackend(_DeadlineBackend):
    """Resolves a name once, refuses it if any of its addresses is not public, and connects to what it checked."""

    def __init__(self, allowed: AllowedHosts) -> None:
        super().__init__()
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        address = host if self._allowed.has_origin(host, port) else _public_address(host, port)
        return super().connect_tcp(address, port, timeout, local_address, socket_options)


def _public_address(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the output's host has no address") from None
    addresses = [str(each[4][0]) for each in found]
    if not all(_is_public(address) for address in addresses):
        raise OutputUnusable("The output was not downloaded: its host has an address that is not public.")
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if any(parsed in network for network in _IPV4_INSIDE):
        parsed = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
    is_tunnel = any(parsed in network for network in _TUNNELS)
    return parsed.is_global and not parsed.is_multicast and not is_tunnel


_ssl_context = cache(httpx.create_ssl_context)
"""All clients trust the same, and reading what that is takes longer than a request."""


def _transport(backend: httpcore.NetworkBackend, connections: int, kept_alive: int) -> httpx.HTTPTransport:
    context = _ssl_context()
    transport = httpx.HTTPTransport(verify=context)
    # httpx has no argument for the sockets under it; its pool is httpcore's, which has.
    transport._pool = httpcore.ConnectionPool(  # noqa: SLF001
        ssl_context=context,
        max_connections=connections,
        max_keepalive_connections=kept_alive,
        keepalive_expiry=30,
        http1=True,
        http2=False,
        network_backend=backend,
    )
    return transport


def create_client(
    *,
    connections: int,
    is_kept_alive: bool = True,
    allowed: AllowedHosts | None = None,
) -> httpx.Client:
    """Make an HTTP/1.1 client that follows no redirect and reads no proxy settings.

    Its calls must run inside :func:`deadline`. With ``allowed``, it connects to public addresses only.
    """
    backend = _GuardedBackend(allowed) if allowed else _DeadlineBackend()
    return httpx.Client(
        transport=_transport(backend, connections, connections if is_kept_alive else 0),
        timeout=httpx.Timeout(30, connect=5, pool=10),
        follow_redirects=False,
        trust_env=False,
        # An encoded body could unpack to any size, so none is asked for.
        headers={"accept-encoding": "identity"},
    )
