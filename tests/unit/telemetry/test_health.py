"""The probes say that a process turns, and which check keeps it from working."""

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.support.probing import GET, PATIENT_SECONDS, all_of, connected, start
from worker.telemetry import health, watchdog
from worker.telemetry.health import METRICS_TYPE, Metrics, start_health_server

__all__ = ["start"]

Probe = Callable[[str], tuple[int, Any]]
MARKER = "m4rk3r"


def failing() -> None:
    """Fail as a database does."""
    raise sqlite3.OperationalError(MARKER)


@pytest.fixture
def serve() -> Iterator[Callable[..., Probe]]:
    """Return what starts a probe server on a free port and gives a function that asks it."""
    servers = []

    def started(**checks: Callable[[], None]) -> Probe:
        servers.append(start_health_server(0, checks))
        port = servers[-1].port

        def probe(path: str) -> tuple[int, Any]:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, json.loads(body) if response.headers["content-type"] == "application/json" else None

        return probe

    yield started
    for server in servers:
        server.close()


def test_ready(serve: Callable[..., Probe]) -> None:
    """All checks pass."""
    probe = serve(database=lambda: None, broker=lambda: None)
    assert probe("/readyz") == (200, {"status": "ok", "checks": {"database": "ok", "broker": "ok"}})


def test_not_ready(serve: Callable[..., Probe]) -> None:
    """The failing check is named, by its class alone: its text may hold an address."""
    probe = serve(database=failing, broker=lambda: None)
    checks = {"database": "OperationalError", "broker": "ok"}
    assert probe("/readyz") == (503, {"status": "unavailable", "checks": checks})


def test_ready_again(serve: Callable[..., Probe], monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe looks anew, once what was seen is old."""
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
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


# What whoever can reach the port may try.


def test_many_probes_are_one_look(start: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while one is under way, or just after it, gets what it found."""
    monkeypatch.setattr(health, "KEPT_SECONDS", 60.0)
    begun, may_end, looks = threading.Event(), threading.Event(), []

    def slow() -> None:
        looks.append(1)
        begun.set()
        assert may_end.wait(PATIENT_SECONDS)

    with connected(start(database=slow), GET, many=40) as probes:
        assert begun.wait(PATIENT_SECONDS)
        may_end.set()
        assert {all_of(each).split(b"\r\n")[0] for each in probes} == {b"HTTP/1.1 200 OK"}
    assert len(looks) == 1


def test_alive_while_a_check_hangs(start: Callable[..., int]) -> None:
    """A database that does not answer holds no other question up."""
    may_end = threading.Event()
    port = start(database=lambda: assert_set(may_end))
    with connected(port, GET) as [waiting], connected(port, GET.replace(b"readyz", b"livez")) as [other]:
        assert all_of(other).startswith(b"HTTP/1.1 200 OK")
        may_end.set()
        assert all_of(waiting).startswith(b"HTTP/1.1 200 OK")


def assert_set(event: threading.Event) -> None:
    """Wait as a query does."""
    assert event.wait(PATIENT_SECONDS)


def test_who_comes_at_once_with_too_many_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where his turn to be heard had not come yet, and however many they are."""
    server, may_go_on = start_health_server(0, {}), threading.Event()
    monkeypatch.setattr(health, "MOST_CONNECTIONS", 2)
    server._loop.call_soon_threadsafe(may_go_on.wait)
    with connected(server.port, many=5) as opened:
        may_go_on.set()
        assert [all_of(each) for each in opened[:3]] == [b"", b"", b""]
        assert len(server._open) == 2
    server.close()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (b"POST /readyz HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"\0\xff\r\n\r\n", b"HTTP/1.1 405 Method Not Allowed"),
        (b"GET\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"GET  /readyz\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b""),
        (b"GET /readyz HTTP/1.1\r\nx: " + b"a" * 100_000, b""),
    ],
)
def test_nonsense_is_answered_or_not_and_never_told_of(
    start: Callable[..., int], sent: bytes, answered: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback comes of it, and the next probe is answered."""
    port = start()
    capfd.readouterr()
    with connected(port, sent) as [strange], connected(port, GET[:9]) as [gone]:
        assert all_of(strange).split(b"\r\n")[0] == answered
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # Closed by a reset.
    with connected(port, GET) as [probe]:
        assert all_of(probe).startswith(b"HTTP/1.1 200 OK")
    assert capfd.readouterr() == ("", "")


def test_a_look_that_gets_no_thread_is_made_anew(
    start: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever asks next is answered."""
    port, begin = start(), threading.Thread.start
    capfd.readouterr()

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "probe":
            raise RuntimeError("can't start new thread")
        begin(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with connected(port, GET) as [probe]:
            assert all_of(probe) == b""
    with connected(port, GET) as [probe]:
        assert all_of(probe).startswith(b"HTTP/1.1 200 OK")
    assert capfd.readouterr() == ("", "")


def test_nobody_is_told_what_answers(start: Callable[..., int]) -> None:
    """A name and a version of software help nobody but an attacker."""
    with connected(start(), GET) as [probe]:
        names = {line.split(b":")[0] for line in all_of(probe).split(b"\r\n\r\n")[0].split(b"\r\n")[1:]}
    assert names == {b"content-type", b"content-length", b"connection"}


Answer = tuple[int, str | None, bytes]

Get = Callable[[str], Answer]

EXPOSED = b"# HELP sam3d_jobs_waiting Jobs.\n# TYPE sam3d_jobs_waiting gauge\nsam3d_jobs_waiting 3.0\n"


def _failing() -> bytes:
    raise sqlite3.OperationalError(MARKER)


@pytest.fixture
def serve_metrics() -> Iterator[Callable[[Metrics | None], Get]]:
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


def test_metrics_are_given(serve_metrics: Callable[[Metrics | None], Get]) -> None:
    """As they are, in the type that Prometheus asks for."""
    assert serve_metrics(lambda: EXPOSED)("/metrics") == (200, METRICS_TYPE, EXPOSED)


@pytest.mark.parametrize(("kept", "read"), [(0.0, [b"# 1\n", b"# 2\n"]), (60.0, [b"# 1\n", b"# 1\n"])])
def test_metrics_are_read_anew(
    serve_metrics: Callable[[Metrics | None], Get], monkeypatch: pytest.MonkeyPatch, kept: float, read: list[bytes]
) -> None:
    """Where they are asked for once the last ones are old, and only then."""
    monkeypatch.setattr(health, "KEPT_SECONDS", kept)
    readings = iter([b"# 1\n", b"# 2\n"])
    get = serve_metrics(lambda: next(readings))
    get("/livez")
    assert [get("/metrics")[2], get("/metrics")[2]] == read


def test_no_metrics_are_not_found(serve_metrics: Callable[[Metrics | None], Get]) -> None:
    """A process that has none has no such address."""
    assert serve_metrics(None)("/metrics")[0] == 404


@pytest.mark.parametrize("path", ["/metrics/", "/metric", "/metrics/x"])
def test_only_the_exact_address_has_them(serve_metrics: Callable[[Metrics | None], Get], path: str) -> None:
    """And nothing is read for another one."""
    assert serve_metrics(_failing)(path)[0] == 404


def test_metrics_that_fail_are_a_comment(serve_metrics: Callable[[Metrics | None], Get]) -> None:
    """The error is told by its class alone: its text may hold an address."""
    assert serve_metrics(_failing)("/metrics") == (503, METRICS_TYPE, b"# OperationalError\n")


def test_metrics_that_fail_leave_the_probes_alone(serve_metrics: Callable[[Metrics | None], Get]) -> None:
    """A database that is away is no reason to restart the process."""
    get = serve_metrics(_failing)
    get("/metrics")
    assert [get("/livez")[0], get("/readyz")[0]] == [200, 200]
