"""The probe server: ``/livez`` says that the process's loops turn, ``/readyz`` that it can work; and ``/metrics``.

Whoever can reach it gets no more than that: what it knows is looked up once a second at most, however many ask, and
who is slow holds nobody up.
"""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from worker.log import Log
from worker.telemetry import watchdog

Check = Callable[[], None]
Metrics = Callable[[], bytes]
Told = tuple[HTTPStatus, str, bytes]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
JSON_TYPE = "application/json"

KEPT_SECONDS = 1.0
"""How long what was looked up is told to whoever asks."""

PATIENCE_SECONDS = 5.0
"""Within which a request has arrived as a whole, and its answer been taken."""

MOST_CONNECTIONS = 64
"""At once; one more takes the place of the oldest, as whoever asks in earnest has long been answered."""

MOST_BYTES = 8192
"""Of a request."""

NO_ANSWER = (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, RuntimeError)
"""What ends a connection without one; the last is a system that gives no more threads."""

log = Log(__name__)


def start_health_server(port: int, checks: Mapping[str, Check], metrics: Metrics | None = None) -> "HealthServer":
    """Answer probes on a thread of its own, on every address of the pod; ``checks`` raise where something is wrong.

    Raises:
        OSError: the port is taken.
    """
    looks: dict[str, Callable[[], Told]] = {"/readyz": lambda: _summed_up(_run(checks))}
    if metrics:
        looks["/metrics"] = partial(_measured, metrics)
    server = HealthServer(port, {path: _Look(look) for path, look in looks.items()})
    log.info("health_server_started", port=server.port)
    return server


class _Look:
    """A look that all share who ask at about the same time; made on a thread, as it may have to wait."""

    def __init__(self, look: Callable[[], Told]) -> None:
        self._look = look
        self._found: asyncio.Future[Told] | None = None
        self._counts_until = 0.0

    async def __call__(self) -> Told:
        loop = asyncio.get_running_loop()
        if self._found is None or (self._found.done() and loop.time() >= self._counts_until):
            found = loop.create_future()
            threading.Thread(target=self._find, args=(loop, found), name="probe", daemon=True).start()
            self._found = found  # Only now: where the system gives no thread, the next who asks looks anew.
        return await asyncio.shield(self._found)

    def _find(self, loop: asyncio.AbstractEventLoop, found: asyncio.Future[Told]) -> None:
        told = self._look()
        with suppress(RuntimeError):  # The server is closed, nobody waits for it.
            loop.call_soon_threadsafe(self._keep, found, told, loop)

    def _keep(self, found: asyncio.Future[Told], told: Told, loop: asyncio.AbstractEventLoop) -> None:
        self._counts_until = loop.time() + KEPT_SECONDS
        found.set_result(told)


class HealthServer:
    """Answers one request a connection, and lets no connection take long."""

    def __init__(self, port: int, looks: Mapping[str, _Look]) -> None:
        listener = socket.create_server(("", port), backlog=MOST_CONNECTIONS)
        self.port: int = listener.getsockname()[1]
        self._looks = looks
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._closed = asyncio.Event()
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and give the port back."""
        self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join()

    def _run(self, listener: socket.socket) -> None:
        with self._runner as runner:
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        async with await asyncio.start_server(self._connected, sock=listener, limit=MOST_BYTES):
            await self._closed.wait()
            for each in self._open:
                each.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            self._hang_up(next(iter(self._open)))
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._hang_up)

    def _hang_up(self, task: asyncio.Task[None]) -> None:
        """End a conversation; also one that was not begun, as many may come at once."""
        task.cancel()
        if writer := self._open.pop(task, None):
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and answer it; who is too slow, says too much or hangs up gets nothing."""
        with suppress(*NO_ANSWER):
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_written(*await self._answer(head)))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await writer.drain()

    async def _answer(self, head: bytes) -> Told:
        method, path, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(" "), "", ""]
        if method != "GET":
            return _nothing(HTTPStatus.METHOD_NOT_ALLOWED)
        if path == "/livez":
            return _summed_up(_stalled())
        look = self._looks.get(path)
        return await look() if look else _nothing(HTTPStatus.NOT_FOUND)


def _written(status: HTTPStatus, media_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {media_type}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


def _nothing(status: HTTPStatus) -> Told:
    return status, "text/plain", f"{status.phrase}\n".encode()


def _summed_up(results: Mapping[str, str]) -> Told:
    is_well = all(result == "ok" for result in results.values())
    body = json.dumps({"status": "ok" if is_well else "unavailable", "checks": results}).encode()
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, JSON_TYPE, body


def _measured(metrics: Metrics) -> Told:
    """Read the metrics; without the database there are none, which is no reason to start a process anew."""
    try:
        return HTTPStatus.OK, METRICS_TYPE, metrics()
    except Exception as error:
        log.warning("metrics_failed", reason=type(error).__name__, next="the next scrape")
        return HTTPStatus.SERVICE_UNAVAILABLE, METRICS_TYPE, f"# {type(error).__name__}\n".encode()


def _stalled() -> dict[str, str]:
    """Name the loops that stand still; what is wrong elsewhere is no reason to start a process anew."""
    return {heart.name: "stalled" for heart in watchdog.overdue()}


def _run(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run each check; a failure is told by its class, as its text may hold an address."""
    results = {}
    for name, check in checks.items():
        try:
            check()
        except Exception as error:  # Whatever a check raises means: not ready.
            results[name] = type(error).__name__
        else:
            results[name] = "ok"
    return results
