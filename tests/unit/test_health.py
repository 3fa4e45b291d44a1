"""The probes say that a process turns, and which check keeps it from working."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from worker import watchdog
from worker.health import start_health_server

Probe = Callable[[str], tuple[int, Any]]
MARKER = "m4rk3r"


def failing() -> None:
    """Fail as a database does."""
    raise sqlite3.OperationalError(MARKER)


def ended(server: ThreadingHTTPServer) -> None:
    """Stop a server and give its port back."""
    server.shutdown()
    server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Probe]]:
    """Return what starts a probe server on a free port and gives a function that asks it."""
    servers = []

    def started(**checks: Callable[[], None]) -> Probe:
        servers.append(start_health_server(0, checks))
        port = servers[-1].server_port

        def probe(path: str) -> tuple[int, Any]:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, json.loads(body) if response.headers["content-type"] == "application/json" else None

        return probe

    yield started
    for server in servers:  # It looks twice a second whether it is to end; nobody has to wait for that.
        threading.Thread(target=ended, args=(server,), daemon=True).start()


def test_ready(serve: Callable[..., Probe]) -> None:
    """All checks pass."""
    probe = serve(database=lambda: None, broker=lambda: None)
    assert probe("/readyz") == (200, {"status": "ok", "checks": {"database": "ok", "broker": "ok"}})


def test_not_ready(serve: Callable[..., Probe]) -> None:
    """The failing check is named, by its class alone: its text may hold an address."""
    probe = serve(database=failing, broker=lambda: None)
    checks = {"database": "OperationalError", "broker": "ok"}
    assert probe("/readyz") == (503, {"status": "unavailable", "checks": checks})


def test_ready_again(serve: Callable[..., Probe]) -> None:
    """Each probe looks anew."""
    outcomes = iter([ConnectionError, None])

    def database() -> None:
        if error := next(outcomes):
            raise error

    probe = serve(database=database)
    assert [probe("/readyz")[0], probe("/readyz")[0]] == [503, 200]


def test_alive_whatever_else_is_wrong(serve: Callable[..., Probe]) -> None:
    """A database that is away is no reason to restart the process."""
    assert serve(database=failing)("/livez") == (200, {"status": "ok", "checks": {}})


def test_not_alive_where_a_loop_stands_still(serve: Callable[..., Probe], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is named, so that whoever restarts the process knows why."""
    monkeypatch.setattr(watchdog, "overdue", lambda: [watchdog.Heart("inbox")])
    assert serve()("/livez") == (503, {"status": "unavailable", "checks": {"inbox": "stalled"}})


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz/", "/readyz/../livez"])
def test_anything_else_is_not_found(serve: Callable[..., Probe], path: str) -> None:
    """And asks nothing of the database."""
    asked: list[str] = []
    assert serve(database=lambda: asked.append(path))(path)[0] == 404
    assert asked == []


def test_probes_are_not_logged(serve: Callable[..., Probe], capfd: pytest.CaptureFixture[str]) -> None:
    """One every few seconds is not news."""
    probe = serve()
    capfd.readouterr()
    probe("/livez")
    assert capfd.readouterr() == ("", "")
