"""A running simulator, ready for requests."""

import base64
import io
from collections.abc import Iterator

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
