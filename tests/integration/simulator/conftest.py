"""A running simulator, ready for requests."""

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from PIL import Image

from worker.simulator import Simulator, SimulatorSettings


@pytest.fixture(scope="session")
def key() -> str:
    """Return a key that the simulator takes."""
    return "SG_0123456789abcdef"


@pytest.fixture(scope="session")
def photo() -> str:
    """Return a small photo of a dot, as base64."""
    image = Image.new("RGB", (16, 12), "white")
    image.paste((200, 30, 30), (5, 3, 11, 9))
    out = io.BytesIO()
    image.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a simulator whose runs take 10 s of its own clock."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 10})) as running:
        yield running


@pytest.fixture
def http(simulator: Simulator, key: str) -> Iterator[httpx.Client]:
    """Open a client with a good key."""
    with httpx.Client(base_url=simulator.url, headers={"x-api-key": key}, timeout=5) as client:
        yield client


@pytest.fixture
def submitted(http: httpx.Client, photo: str) -> str:
    """Return the id of a run that was just accepted."""
    answer = http.post("/v2/sam-3d-objects", json={"image": photo, "prompt": "dot", "seed": 7})
    assert answer.status_code == 200
    return str(answer.json()["request_id"])


@pytest.fixture
def photo_url(photo: str) -> Iterator[str]:
    """Serve the photo on this machine, whatever follows its address, and return that."""
    content = base64.b64decode(photo)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/photo.png"
        server.shutdown()
