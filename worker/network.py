"""Which hosts may be reached, and until when: the sockets under the HTTP clients.

httpx bounds each read; a server that sends a byte now and then holds a caller for ever. Here every look-up of a
name, read and write also ends at the deadline of the whole call, and a guarded client connects only to addresses it
has checked.
"""

import math
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self

import httpcore
import httpx

from worker.errors import OutputUnusable
from worker.places import AllowedHosts, is_public
from worker.resolver import resolver

_WRITE_BYTES = 64 * 1024

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
        ends_at = _now() + left
        *others, last = self._addresses(host, port, left)
        for behind, address in zip(range(len(others), 0, -1), others, strict=True):
            within = (ends_at - _now()) / (behind + 1)  # One that does not answer leaves time for the others.
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._connect(address, port, within, local_address, socket_options)
        return self._connect(last, port, ends_at - _now(), local_address, socket_options)

    def _connect(self, address: str, port: int, within: float, *more: Any) -> httpcore.NetworkStream:
        left = _remaining(max(0.0, within), httpcore.ConnectTimeout)
        return _DeadlineStream(super().connect_tcp(address, port, left, *more))

    def _addresses(self, host: str, port: int, within: float) -> Sequence[str]:
        """Return where a host is: one address at least."""
        return _resolve(host, port, within)[:MOST_ADDRESSES]


MOST_ADDRESSES = 4
"""Of one host that are tried in turn."""


def _resolve(host: str, port: int, within: float) -> Sequence[str]:
    """Look a name up.

    Raises:
        httpcore.ConnectError: it has no address.
        httpcore.ConnectTimeout: the resolver did not answer in time.
    """
    try:
        return resolver.addresses(host, port, within)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from None
    except OSError:
        raise httpcore.ConnectError("the host has no address") from None


class _GuardedBackend(_DeadlineBackend):
    """Resolves a name once, refuses it if any of its addresses is not public, and connects to what it checked."""

    def __init__(self, allowed: AllowedHosts) -> None:
        super().__init__()
        self._allowed = allowed

    def _addresses(self, host: str, port: int, within: float) -> Sequence[str]:
        addresses = _resolve(host, port, within)
        if not self._allowed.has_origin(host, port) and not all(map(is_public, addresses)):
            raise OutputUnusable("The output was not downloaded: its host has an address that is not public.")
        return addresses[:MOST_ADDRESSES]


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


class _PlainClient(httpx.Client):
    """Sends a request as it is: what httpx does around that, for cookies, redirects and logins, takes as long again."""

    def __init__(self, wire: httpx.BaseTransport, **more: Any) -> None:
        super().__init__(transport=_Answering(wire), **more)
        self._wire = wire

    def send(self, request: httpx.Request, *, stream: bool = False, **more: Any) -> httpx.Response:
        """Send a request; one that has a login, or is answered with a redirect, goes httpx's own way."""
        is_plain = all(each is httpx.USE_CLIENT_DEFAULT for each in more.values()) and not request.url.userinfo
        if self.is_closed or not is_plain:
            return super().send(request, stream=stream, **more)
        response = self._wire.handle_request(request)
        response.request = request
        if response.has_redirect_location:
            request.extensions[_ANSWER] = response
            return super().send(request, stream=stream, **more)
        if not stream:
            with closing(response):
                response.read()
        return response


class _Answering(httpx.BaseTransport):
    """Gives the answer that a request has already, and asks for none twice."""

    def __init__(self, wire: httpx.BaseTransport) -> None:
        self._wire = wire

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer: httpx.Response | None = request.extensions.pop(_ANSWER, None)
        return self._wire.handle_request(request) if answer is None else answer

    def close(self) -> None:
        self._wire.close()


_ANSWER = "answer"


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
    return _PlainClient(
        _transport(backend, connections, connections if is_kept_alive else 0),
        timeout=httpx.Timeout(30, connect=5, pool=10),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # What one answer sets is no other call's to send.
        # An encoded body could unpack to any size, so none is asked for.
        headers={"accept-encoding": "identity"},
    )
