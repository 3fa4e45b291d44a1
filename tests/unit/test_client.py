"""What a client downloads of what it heard."""

from typing import Any

import pytest

from worker.client import Client, JobEvent
from worker.config.environment import Settings
from worker.rules.lifecycle import EventType

MODEL = {"name": "model.glb", "url": "https://files.example/1"}
RECEIPT = {"name": "receipt.json", "url": "https://files.example/2"}


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({"outputs": [MODEL], "receipt": RECEIPT}, [MODEL, RECEIPT]),
        ({"outputs": [MODEL]}, [MODEL]),
        ({"outputs": [MODEL], "receipt": {**RECEIPT, "url": None}}, [MODEL]),
        ({"outputs": [MODEL], "receipt": "m4rk3r"}, [MODEL]),
        ({"outputs": "m4rk3r", "receipt": RECEIPT}, None),
        ({"receipt": RECEIPT}, None),
    ],
    ids=["both", "no receipt", "no link", "odd", "odd outputs", "no outputs"],
)
def test_a_receipt_is_downloaded_beside_the_model(content: dict[str, Any], kept: object) -> None:
    """Where it has a link; where it has none, the model is had all the same."""
    client = Client(Settings())
    client._keep_links(JobEvent("id", EventType.SUCCEEDED, "job", content))
    assert client._made.get("job") == kept
