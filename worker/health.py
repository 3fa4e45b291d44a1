"""The probe server: ``/livez`` says that the process's loops turn, ``/readyz`` that it can work; and ``/metrics``."""

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog

from worker import watchdog

Check = Callable[[], None]
Metrics = Callable[[], bytes]
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

log = structlog.get_logger(__name__)


def start_health_server(port: int, checks: Mapping[str, Check], metrics: Metrics | None = None) -> ThreadingHTTPServer:
    """Answer probes on a thread of its own, on every address of the pod; ``checks`` raise where something is wrong."""

    class Probe(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            match self.path:
                case "/livez":
                    self._tell(*_summed_up(_stalled()))
                case "/readyz":
                    self._tell(*_summed_up(_run(checks)))
                case "/metrics" if metrics:
                    self._tell(*_measured(metrics))
                case _:
                    self.send_error(HTTPStatus.NOT_FOUND)

        def _tell(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing: a probe every few seconds is not news."""

    server = ThreadingHTTPServer(("", port), Probe)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    log.info("health_server_started", port=server.server_port)
    return server


Told = tuple[HTTPStatus, str, bytes]


def _summed_up(results: Mapping[str, str]) -> Told:
    is_well = all(result == "ok" for result in results.values())
    body = json.dumps({"status": "ok" if is_well else "unavailable", "checks": results}).encode()
    return HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, "application/json", body


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
