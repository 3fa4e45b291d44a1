"""A vendor that is no bottleneck: the calls that a job makes, answered from memory by one small loop.

``python -m tests.benchmarks.stand_in PORT RUN_SECONDS`` serves until it is killed. ``GET /seen`` tells what it has
seen. What the real API answers in every other case is the simulator's to know.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from uuid import uuid4

import trimesh

MODEL: bytes = trimesh.creation.icosphere(subdivisions=3).export(file_type="glb")
"""A sound model of 23 KB."""

Answer = tuple[int, str, bytes]


class StandIn:
    """The runs that were submitted, and how the calls are answered.

    It has seen so many ``posts`` and ``files`` asked for, and when, by the machine's monotonic clock: the last POST
    (``posted_at``), and the last look that showed a run to be over (``over_at``).
    """

    def __init__(self, url: str, run_seconds: float) -> None:
        self._url, self._run_seconds = url, run_seconds
        self._began: dict[str, float] = {}
        self._seen: dict[str, float] = {"posts": 0, "files": 0, "posted_at": 0, "over_at": 0}

    def answer(self, method: str, path: str) -> Answer:
        """Answer a request; its body is of no account."""
        if method == "POST":
            return self._submitted()
        parts = path.partition("?")[0].strip("/").split("/")
        match parts:
            case ["files", _]:
                self._seen["files"] += 1
                return 200, "model/gltf-binary", MODEL
            case ["seen"]:
                return _json(self._seen)
            case [_, "requests", request_id, *_]:
                return self._looked_at(request_id)
            case _:
                return _json({"data": [], "credits": 1000})

    def _submitted(self) -> Answer:
        request_id = str(uuid4())
        self._began[request_id] = self._seen["posted_at"] = time.monotonic()
        self._seen["posts"] += 1
        return _json({"request_id": request_id, "status": "QUEUED", **self._addresses(request_id)})

    def _looked_at(self, request_id: str) -> Answer:
        body = {"request_id": request_id, **self._addresses(request_id)}
        if time.monotonic() - self._began.get(request_id, 0) < self._run_seconds:
            return _json({**body, "status": "PROCESSING", "metrics": {}})
        self._seen["over_at"] = time.monotonic()
        took = {"inference_time": self._run_seconds, "queue_time": 0, "total_time": self._run_seconds, "cost": 0.06}
        output = f"{self._url}/files/{request_id}.glb"
        return _json({**body, "status": "COMPLETED", "metrics": took, "output": output})

    def _addresses(self, request_id: str) -> Mapping[str, str]:
        look = f"{self._url}/v2/requests/{request_id}"
        return {"poll_url": look, "status_url": f"{look}/status", "response_url": look}


def _json(body: Mapping[str, object]) -> Answer:
    return 200, "application/json", json.dumps(body).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with connections that are kept, as far as our clients speak it."""

    def __init__(self, answer: Callable[[str, str], Answer]) -> None:
        self._answer = answer
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].decode("latin-1")
            whole = end + 4 + _length(head)
            if len(self._received) < whole:
                return
            del self._received[:whole]
            self._write(*self._answer(*head.split(" ", 2)[:2]))

    def _write(self, status: int, media_type: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        assert self._transport
        self._transport.write(head.encode() + body)


def _length(head: str) -> int:
    named = (line.partition(":") for line in head.lower().split("\r\n"))
    return next((int(value) for name, _, value in named if name == "content-length"), 0)


async def serve(port: int, run_seconds: float) -> None:
    """Serve on loopback for ever."""
    vendor = StandIn(f"http://127.0.0.1:{port}", run_seconds)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(vendor.answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
