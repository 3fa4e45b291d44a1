"""The probe server gives metrics where it has them, and says in their own format that it can't read them."""

import sqlite3
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest

from worker.telemetry import health
from worker.telemetry.health import METRICS_TYPE, Metrics, start_health_server

Answer = tuple[int, str | None, bytes]
Get = Callable[[str], Answer]
MARKER = "m4rk3r"
EXPOSED = b"# HELP sam3d_jobs_waiting Jobs.\n# TYPE sam3d_jobs_waiting gauge\nsam3d_jobs_waiting 3.0\n"


def _failing() -> bytes:
    raise sqlite3.OperationalError(MARKER)


@pytest.fixture
def serve() -> Iterator[Callable[[Metrics | None], Get]]:
    """Return what starts a probe server on a free port and gives a function that asks it."""
    servers = []

    def started(metrics: Metrics | None) -> Get:
        servers.append(start_health_server(0, {}, metrics))
        port = servers[-1].port

        def get(path: str) -> Answer:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, response.headers["content-type"], body

        return get

    yield started
    for server in servers:
        server.close()


def test_metrics_are_given(serve: Callable[[Metrics | None], Get]) -> None:
    """As they are, in the type that Prometheus asks for."""
    assert serve(lambda: EXPOSED)("/metrics") == (200, METRICS_TYPE, EXPOSED)


@pytest.mark.parametrize(("kept", "read"), [(0.0, [b"# 1\n", b"# 2\n"]), (60.0, [b"# 1\n", b"# 1\n"])])
def test_metrics_are_read_anew(
    serve: Callable[[Metrics | None], Get], monkeypatch: pytest.MonkeyPatch, kept: float, read: list[bytes]
) -> None:
    """Where they are asked for once the last ones are old, and only then."""
    monkeypatch.setattr(health, "KEPT_SECONDS", kept)
    readings = iter([b"# 1\n", b"# 2\n"])
    get = serve(lambda: next(readings))
    get("/livez")
    assert [get("/metrics")[2], get("/metrics")[2]] == read


def test_no_metrics_are_not_found(serve: Callable[[Metrics | None], Get]) -> None:
    """A process that has none has no such address."""
    assert serve(None)("/metrics")[0] == 404


@pytest.mark.parametrize("path", ["/metrics/", "/metric", "/metrics/x"])
def test_only_the_exact_address_has_them(serve: Callable[[Metrics | None], Get], path: str) -> None:
    """And nothing is read for another one."""
    assert serve(_failing)(path)[0] == 404


def test_metrics_that_fail_are_a_comment(serve: Callable[[Metrics | None], Get]) -> None:
    """The error is told by its class alone: its text may hold an address."""
    assert serve(_failing)("/metrics") == (503, METRICS_TYPE, b"# OperationalError\n")


def test_metrics_that_fail_leave_the_probes_alone(serve: Callable[[Metrics | None], Get]) -> None:
    """A database that is away is no reason to restart the process."""
    get = serve(_failing)
    get("/metrics")
    assert [get("/livez")[0], get("/readyz")[0]] == [200, 200]
