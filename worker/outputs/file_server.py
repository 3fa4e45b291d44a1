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
        self._since: dict[HTTPChannel, tuple[object, float]] = {}
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
        channels = list(self._server.active_channels.values())
        self._since = {each: self._state(each, now) for each in channels}
        for each in channels:
            if now >= self._latest(each):
                each.handle_close()

    def _state(self, channel: HTTPChannel, now: float) -> tuple[object, float]:
        """Return what a connection is at, and since when."""
        is_at = channel.requests[:1] or channel.request
        was_at, since = self._since.get(channel, (None, now))
        return is_at, since if was_at == is_at else now

    def _latest(self, channel: HTTPChannel) -> float:
        """Return until when a connection may stay as it is."""
        patience, (is_at, since) = self._patience, self._since[channel]
        if channel.requests or channel.total_outbufs_len:
            return min(since + patience.answering, float(channel.last_activity) + patience.silent)
        if is_at is not None:
            return since + patience.asking
        return since + (0 if self._stopped.is_set() else patience.idle)


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
