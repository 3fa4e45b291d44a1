"""The file server's connections: bounded in number, in memory, and in how long each may stay."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

MOST_CONNECTIONS = 100
"""At once; who comes then waits until one of them ends."""

BUFFERED_BYTES = 2**20
"""Of an answer, for a reader who is slow: its thread waits, and reads no more, while so much is not sent."""

Application = Callable[..., Iterable[bytes]]


@dataclass(frozen=True)
class Patience:
    """For how long a connection may be in each state, s."""

    idle: float = 30.0
    asking: float = 10.0
    silent: float = 60.0
    answering: float = 3600.0
    ending: float = 60.0
    """All of them, once the server is told to stop."""


class FileServer:
    """Serves an application on every address of the pod, until it is told to stop.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, application: Application, port: int, threads: int, patience: Patience = Patience()) -> None:
        self._patience = patience
        self._stopped = Event()
        self._sockets: dict[int, Any] = {}
        self._seen: dict[HTTPChannel, _Seen] = {}
        self._server = _Server(application, map=self._sockets, **_options(port, threads))
        self.port = int(self._server.effective_port)

    def serve(self, beat: Callable[[], None]) -> None:
        """Answer until :meth:`stop`; then answers that were begun have a while to end. ``beat`` is called each turn."""
        ends_at = float("inf")
        try:
            while time.monotonic() < ends_at and (self._server.active_channels or not self._stopped.is_set()):
                beat()
                self._server.asyncore.loop(timeout=0.5, use_poll=True, map=self._sockets, count=1)
                if self._stopped.is_set() and self._server.accepting:
                    self._server.refuse()
                    ends_at = time.monotonic() + self._patience.ending
                self._hang_up(time.time())
        finally:
            self._server.end()

    def stop(self) -> None:
        """Take no new connection, and end; may be called in the handler of a signal."""
        self._stopped.set()

    def _hang_up(self, now: float) -> None:
        """Close the connections that were in one state for too long."""
        before, self._seen = self._seen, {}
        for each in list(self._server.active_channels.values()):
            self._seen[each] = seen = _seen(each, before.get(each), now)
            if now >= self._latest(seen):
                each.handle_close()

    def _latest(self, seen: "_Seen") -> float:
        """Return until when a connection may stay as it is."""
        patience = self._patience
        if seen.is_answered:
            silent_until = seen.unsent_since + patience.silent if seen.unsent_since else float("inf")
            return min(seen.since + patience.answering, silent_until)
        if seen.asks is not None:
            return seen.since + patience.asking
        return seen.since + (0 if self._stopped.is_set() else patience.idle)


@dataclass(frozen=True)
class _Seen:
    """What a connection was at when it was looked at, and since when."""

    asks: object
    """The request that is read or answered; None: none."""

    is_answered: bool
    since: float
    unsent_since: float | None
    """Since when its reader has taken nothing of what waits for him."""


def _seen(channel: HTTPChannel, before: _Seen | None, now: float) -> _Seen:
    """Look at a connection, as it was seen ``before``."""
    asks = channel.requests[0] if channel.requests else channel.request
    is_answered = bool(channel.requests or channel.total_outbufs_len)
    is_same = before is not None and (before.asks, before.is_answered) == (asks, is_answered)
    unsent_since = None
    if channel.total_outbufs_len:
        waited_since = (before and before.unsent_since) or now
        unsent_since = max(waited_since, float(channel.last_activity))
    return _Seen(asks, is_answered, before.since if before and is_same else now, unsent_since)


class _Server(TcpWSGIServer):  # type: ignore[misc]
    """Waitress' server, whose connections are looked after by ours."""

    def maintenance(self, now: float) -> None:
        """Leave it to :class:`FileServer`: this one waits for a reader who takes nothing any more."""

    def refuse(self) -> None:
        """Take no new connection."""
        self.accepting = False
        self.del_channel()
        self.socket.close()

    def end(self) -> None:
        """Hang up on everybody."""
        for each in list(self.active_channels.values()):
            each.handle_close()
        self.task_dispatcher.shutdown(timeout=1)
        if self.accepting:
            self.refuse()
        self.trigger.close()


def _options(port: int, threads: int) -> Mapping[str, Any]:
    return {
        "listen": f"0.0.0.0:{port}",
        "threads": threads,
        "connection_limit": MOST_CONNECTIONS,
        "max_request_header_size": 8192,
        "max_request_body_size": 1024,
        "inbuf_overflow": 2**16,
        "outbuf_high_watermark": BUFFERED_BYTES,
        "outbuf_overflow": 16 * BUFFERED_BYTES,  # Never to a disk.
        "clear_untrusted_proxy_headers": True,
        "ident": None,
    }
