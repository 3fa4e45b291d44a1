"""Connections to the probe server: what is sent over them as it is, and all that is answered."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from worker.telemetry.health import start_health_server

GET = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"

PATIENT_SECONDS = 20.0


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Return what starts a probe server with these checks and gives its port."""
    servers = []

    def started(**checks: Callable[[], None]) -> int:
        servers.append(start_health_server(0, checks))
        return servers[-1].port

    yield started
    for server in servers:
        server.close()


@contextmanager
def connected(port: int, *sent: bytes, many: int = 1) -> Iterator[list[socket.socket]]:
    """Give some connections over which this was sent."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENT_SECONDS)) for _ in range(many)
        ]
        for each in opened:
            each.sendall(b"".join(sent))
        yield opened


def all_of(connection: socket.socket) -> bytes:
    """Read what comes until the connection is closed."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:  # It was closed before all was read that had been sent.
        pass
    return received
