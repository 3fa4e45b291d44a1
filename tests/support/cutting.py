"""A file host that breaks connections: each answer ends where it is told to."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Host:
    """What is served, and how badly."""

    content: bytes
    ends: list[int | None]
    """After how many bytes each answer breaks off; None: not at all. A negative one is an HTTP status."""

    tags: Sequence[str] = ('"a"',)
    has_ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def cutting(host: Host) -> Iterator[Host]:
    """Run a host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, host)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_port}/model.glb?m4rk3r"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, host: Host) -> None:
    asked = handler.headers["range"]
    tag = host.tags[min(len(host.asked), len(host.tags) - 1)]
    host.asked.append(asked)
    end = host.ends.pop(0) if host.ends else None
    if end is not None and end < 0:
        handler.send_error(-end)
        return
    is_part = asked and host.has_ranges and handler.headers["if-range"] == tag
    start = int(asked.removeprefix("bytes=").rstrip("-")) if is_part else 0
    handler.send_response(206 if is_part else 200)
    handler.send_header("content-length", str(len(host.content) - start))
    handler.send_header("etag", tag)
    if is_part:
        handler.send_header("content-range", f"bytes {start}-{len(host.content) - 1}/{len(host.content)}")
    handler.end_headers()
    handler.wfile.write(host.content[start:end])
