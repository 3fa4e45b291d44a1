"""The vendor's own SDK, unchanged, against the simulator."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from segmind import SegmindClient
from segmind.exceptions import SegmindError
from segmind.v2 import InferenceFailed, InferenceTimeout

from worker.simulator import RunTime, Simulator

SLUG = "sam-3d-objects"


@pytest.fixture
def sdk(simulator: Simulator, key: str) -> Iterator[Any]:
    """Open the SDK's client, pointed at the simulator."""
    client = SegmindClient(api_key=key, base_url=f"{simulator.url}/v1")
    yield client
    client._client.close()


def test_completed(sdk: Any, simulator: Simulator, photo: str) -> None:
    """A run is submitted, polled, and its model downloaded without a key."""
    job = sdk.submit_async(SLUG, image=photo, prompt="dot")
    assert job.status()["status"] == "QUEUED"
    simulator.advance(timedelta(seconds=5))
    assert job.status()["status"] == "PROCESSING"
    simulator.advance(timedelta(seconds=5))
    result = job.wait(interval=0.01)
    assert result["metrics"]["cost"] == 0.06
    assert httpx.get(result["output"]).content[:4] == b"glTF"


def test_failed(sdk: Any, simulator: Simulator, photo: str) -> None:
    """A failed run raises with the vendor's message and is free."""
    simulator.add_fault(call="submit", kind="fail_job", message="no object found")
    job = sdk.submit_async(SLUG, image=photo)
    simulator.advance(timedelta(seconds=10))
    with pytest.raises(InferenceFailed) as failure:
        job.wait(interval=0.01)
    assert failure.value.detail == "no object found"
    assert simulator.ledger()[0]["cost"] == 0


def test_time_out(sdk: Any, photo: str) -> None:
    """A run that does not end in time raises; it goes on all the same."""
    with pytest.raises(InferenceTimeout):
        sdk.submit_async(SLUG, image=photo).wait(timeout=0.03, interval=0.01)


def test_blocking(sdk: Any, simulator: Simulator, photo: str) -> None:
    """The blocking call answers with the model's bytes."""
    simulator.update(run_time=RunTime.fixed(0.05))
    answer = sdk.run_sync(SLUG, image=photo)
    assert answer.headers["content-type"] == "model/gltf-binary"
    assert answer.content[:4] == b"glTF"
    assert [(row["call"], row["status"]) for row in simulator.ledger()] == [("blocking", "COMPLETED")]


def test_blocking_failure(sdk: Any, simulator: Simulator, photo: str) -> None:
    """A blocking call whose run fails is answered with 422."""
    simulator.update(run_time=RunTime.fixed(0.05), fail_share=1.0)
    with pytest.raises(SegmindError) as failure:
        sdk.run_sync(SLUG, image=photo)
    assert failure.value.status == 422


def test_unknown_model(sdk: Any, photo: str) -> None:
    """A slug that no model has is a 404."""
    with pytest.raises(SegmindError) as failure:
        sdk.submit_async("sam-4d", image=photo)
    assert failure.value.status == 404


def test_credits(sdk: Any, photo: str) -> None:
    """The balance goes down by the cost of a run."""
    before = sdk._request("GET", "/get-user-credits").json()
    sdk.submit_async(SLUG, image=photo)
    after = sdk._request("GET", "/get-user-credits").json()
    assert before == {"credits": 100.0, "free-credits": 0.0}
    assert after["credits"] == pytest.approx(99.94)


def test_history(sdk: Any, simulator: Simulator, photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's history calls work, once its fixed address is pointed here."""
    address = f"{simulator.url}/inference-request/request-history"
    monkeypatch.setattr(sys.modules["segmind.generations"], "REQUEST_HISTORY_URL", address)
    job = sdk.submit_async(SLUG, image=photo, prompt="dot")
    row = sdk.generations.get(job.request_id)
    assert row["request_body"] == {"image": photo, "prompt": "dot"}
    assert sdk.generations.history(status="PENDING")["data"] == [row]
