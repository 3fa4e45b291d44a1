"""A TCP proxy before a server, on which connections break in the ways that networks break them."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Self, TypeVar

from tests.support.services.ports import LOOPBACK, free_ports

Answer = TypeVar("Answer")

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"
"""PostgreSQL's reply to COMMIT."""

UPDATED = b"C\x00\x00\x00\x0dUPDATE 1\x00"
"""Its reply to an UPDATE of one row, which was committed with it where it was a transaction of its own."""

WRITTEN = b"\x00\x05version\x00"
"""The head of its reply to a statement that writes a whole change, and commits by itself: five columns."""

_CALL_TIMEOUT = 10.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction in which bytes go."""

    REQUESTS = "to the server"
    REPLIES = "to the client"


@dataclass
class _Breakage:
    """What is wrong now: where bytes vanish, how late they come, how many replies are lost with their connection."""

    swallowed: frozenset[Way] = frozenset()
    delay: float = 0.0
    reply: bytes = b""
    replies_to_lose: int = 0


@dataclass(eq=False)
class _Link:
    """A client's connection and the one to the server that belongs to it."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    is_spoiled: bool = False

    def reset(self) -> None:
        """Break both connections at once, so that both ends see a reset."""
        for writer in self.writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    """Passes bytes on between clients and a port of this machine; a context manager. Call it from any thread."""

    def __init__(self, server_port: int) -> None:
        self.port = free_ports(1)[0]
        self.lost_replies = 0
        self.resets = 0
        self._server_port = server_port
        self._breakage = _Breakage()
        self._login = (b"", b"")
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, LOOPBACK, self.port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(_CALL_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(_CALL_TIMEOUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT)
        self._loop.close()

    def reset(self) -> None:
        """Reset every connection now; new ones work."""
        self._do(self._reset)

    def swallow(self, *ways: Way) -> None:
        """Go half-open: accept and lose silently what goes these ways, on old connections and on new ones."""
        self._do(lambda: self._break(swallowed=frozenset(ways)))

    def delay(self, seconds: float) -> None:
        """Pass everything on so much later."""
        self._do(lambda: self._break(delay=seconds))

    def lose_replies(self, reply: bytes, times: int) -> None:
        """Lose the server's next replies that contain these bytes, and reset each one's connection."""
        self._do(lambda: self._break(reply=reply, replies_to_lose=times))

    def log_in_as(self, user: str, other: str) -> None:
        """Log a user of RabbitMQ in as another of the same password, and a name as long, on connections from now on."""
        assert len(user) == len(other)
        self._login = (f"\0{user}\0".encode(), f"\0{other}\0".encode())

    def heal(self) -> None:
        """Work again; connections that lost bytes are reset."""
        self._do(self._heal)

    @contextmanager
    def resetting_every(self, seconds: float) -> Iterator[None]:
        """Reset all connections again and again meanwhile."""
        ended = threading.Event()

        def go_on() -> None:
            while not ended.wait(seconds):
                self.reset()

        thread = threading.Thread(target=go_on, name="resets", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_CALL_TIMEOUT)

    def _break(self, **how: object) -> None:
        self._breakage = _Breakage(**how)  # type: ignore[arg-type]

    def _heal(self) -> None:
        self._breakage = _Breakage()
        for link in [each for each in self._links if each.is_spoiled]:
            link.reset()

    def _reset(self) -> None:
        self.resets += len(self._links)
        for link in self._links:
            link.reset()

    def _do(self, action: Callable[[], Answer]) -> Answer:
        """Act on the loop's thread and wait for it."""

        async def act() -> Answer:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(_CALL_TIMEOUT)

    async def _shut(self) -> None:
        self._server.close()
        self._reset()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_CALL_TIMEOUT / 2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one client's connection until either end closes it."""
        link = _Link([writer])
        self._links.add(link)
        try:
            from_server, to_server = await asyncio.open_connection(LOOPBACK, self._server_port)
            link.writers.append(to_server)
            requests = self._carry(link, reader, to_server, Way.REQUESTS)
            await asyncio.gather(requests, self._carry(link, from_server, writer, Way.REPLIES))
        except OSError:
            link.reset()
        finally:
            self._links.discard(link)
            for each in link.writers:
                each.close()
            await asyncio.gather(*(each.wait_closed() for each in link.writers), return_exceptions=True)

    async def _carry(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: Way) -> None:
        """Pass bytes on in one direction until either end closes or breaks the connection."""
        try:
            while chunk := await source.read(65_536):
                await asyncio.sleep(self._breakage.delay)
                await self._pass_on(link, chunk, sink, way)
        except OSError:
            link.reset()
        if way in self._breakage.swallowed:
            link.is_spoiled = True  # The end of the connection is lost like all the rest.
        else:
            sink.close()

    async def _pass_on(self, link: _Link, chunk: bytes, sink: asyncio.StreamWriter, way: Way) -> None:
        if way in self._breakage.swallowed:
            link.is_spoiled = True
        elif way is Way.REPLIES and self._is_to_be_lost(chunk):
            link.reset()
        else:
            sink.write(chunk.replace(*self._login) if way is Way.REQUESTS and b"PLAIN" in chunk else chunk)
            await sink.drain()

    def _is_to_be_lost(self, chunk: bytes) -> bool:
        breakage = self._breakage
        if not breakage.replies_to_lose or breakage.reply not in chunk:
            return False
        breakage.replies_to_lose -= 1
        self.lost_replies += 1
        return True
