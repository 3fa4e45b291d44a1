"""Links are put into an event as it goes out, and into nothing else."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from worker.database.outbox import Event
from worker.events.linking import with_links
from worker.outputs.links import Link, Links
from worker.rules.lifecycle import EventType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = {"name": "model.glb", "media_type": "model/gltf-binary", "bytes": 3, "sha256": "ab" * 32, "get": {"cli": "…"}}
ROW = {"id": 1, "name": "model.glb", "sha256": "ab" * 32}


class Linking:
    """Links that are all made."""

    def to(self, output: Mapping[str, Any]) -> Link:
        """Make a link."""
        return Link(f"https://files.example/{output['id']}?m4rk3r", NOW)


LINKS = cast("Links", Linking())


def event(payload: Mapping[str, Any]) -> Event:
    """Return an event of a success."""
    return Event("id", "job", EventType.SUCCEEDED, payload, NOW)


def test_an_output_that_is_stored_has_a_link() -> None:
    """And all else that was said stays."""
    first = event({"job_id": "job", "outputs": [MODEL]})
    linked = with_links(first, [ROW], LINKS)
    assert linked.payload == {
        "job_id": "job",
        "outputs": [{**MODEL, "url": "https://files.example/1?m4rk3r", "expires_at": "2026-01-01T00:00:00+00:00"}],
    }
    assert "url" not in first.payload["outputs"][0], "what is in the outbox knows of none"


@pytest.mark.parametrize("rows", [[], [{**ROW, "sha256": "cd" * 32}], [{**ROW, "name": "model-2.glb"}]])
def test_an_output_that_is_not_stored_any_more_has_none(rows: list[Mapping[str, Any]]) -> None:
    """It was deleted, or is another's; a consumer finds both fields all the same."""
    [told] = with_links(event({"outputs": [MODEL]}), rows, LINKS).payload["outputs"]
    assert told == {**MODEL, "url": None, "expires_at": None}


def test_a_file_that_could_not_be_had_has_none() -> None:
    """It has no content that could be looked for."""
    missing = {"name": "artifacts.zip", "sha256": None, "missing": "it broke off"}
    [told] = with_links(event({"outputs": [missing]}), [ROW], LINKS).payload["outputs"]
    assert told == {**missing, "url": None, "expires_at": None}


def test_a_receipt_is_told_beside_the_outputs() -> None:
    """Where the job has one; it is none of what the run made."""
    row = {"id": 2, "name": "receipt.json", "media_type": "application/json", "bytes": 9, "sha256": "ef" * 32}
    told = with_links(event({"job_id": "job", "outputs": [MODEL]}), [ROW, row], LINKS).payload
    assert [each["name"] for each in told["outputs"]] == ["model.glb"]
    assert told["receipt"] == {
        "name": "receipt.json", "media_type": "application/json", "bytes": 9, "sha256": "ef" * 32,
        "get": {"cli": "sam3d receipt job", "python": "worker.client.Client.download"},
        "url": "https://files.example/2?m4rk3r", "expires_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip


def test_no_repr_shows_a_link() -> None:
    """Not the event's, nor the link's."""
    assert "m4rk3r" not in repr(with_links(event({"outputs": [MODEL]}), [ROW], LINKS))
    assert "m4rk3r" not in repr(LINKS.to(ROW))
