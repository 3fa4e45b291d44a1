"""Files are got by their links: whole and checked, or not at all, whatever the connection does."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.cutting import Host, cutting
from tests.support.file_serving import serving
from worker.errors import Sam3dError
from worker.outputs.fetching import TRIES, Linked, fetch_files, read_links

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetched(host: Host, folder: Path, **other: Any) -> tuple[Sequence[Path], list[float]]:
    """Download the file of a host; return the paths and the pauses that were asked for."""
    file = {"name": "model.glb", "size": len(CONTENT), "sha256": SHA256, "url": host.url, **other}
    pauses: list[float] = []
    return fetch_files([Linked(**file)], folder / "out", pauses.append), pauses


def refusal(host: Host, folder: Path, **other: Any) -> str:
    """Return why a file is not there; nothing of it is, and the link is in no word of it."""
    with cutting(host), pytest.raises(Sam3dError) as refused:
        fetched(host, folder, **other)
    assert list((folder / "out").iterdir()) == []
    assert "m4rk3r" not in repr(refused.value) + repr(refused.value.__cause__)
    return str(refused.value)


def test_a_file_is_got(tmp_path: Path) -> None:
    """In one go."""
    with cutting(Host(CONTENT, [])) as host:
        [path], pauses = fetched(host, tmp_path)
    assert (path.name, path.read_bytes(), pauses, host.asked) == ("model.glb", CONTENT, [], [None])


def test_a_file_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    """From where it broke, as often as it takes, within bounds; a server that is away for a moment as well."""
    with cutting(Host(CONTENT, [100_000, -503, 200_000, None])) as host:
        [path], pauses = fetched(host, tmp_path)
    assert path.read_bytes() == CONTENT
    assert pauses == [0.5, 1, 2]
    assert host.asked == [None, "bytes=100000-", "bytes=100000-", "bytes=200000-"]


def test_tries_are_bounded(tmp_path: Path) -> None:
    """Whoever never gives the end is left."""
    host = Host(CONTENT, [100_000 + number for number in range(100)])
    assert f"{TRIES} tries" in refusal(host, tmp_path)
    assert len(host.asked) == TRIES


def test_another_file_is_not_put_behind_the_beginning_of_one(tmp_path: Path) -> None:
    """Its tag is another, or its server knows no ranges, or no tags."""
    assert "broke off" in refusal(Host(CONTENT, [1000], tags=('"a"', '"b"')), tmp_path)
    assert "broke off" in refusal(Host(CONTENT, [1000], has_ranges=False), tmp_path)
    assert "broke off" in refusal(Host(CONTENT, [1000], tags=("",)), tmp_path)


@pytest.mark.parametrize("status", [301, 400, 403, 404, 410, 416])
def test_a_link_that_is_refused_is_tried_once(tmp_path: Path, status: int) -> None:
    """It will not be better the next time; who says so is not followed elsewhere."""
    host = Host(CONTENT, [-status])
    assert str(status) in refusal(host, tmp_path)
    assert len(host.asked) == 1


def test_what_is_not_what_was_announced_is_not_written(tmp_path: Path) -> None:
    """Another content, more than was said, or less."""
    assert "SHA-256" in refusal(Host(CONTENT[::-1], []), tmp_path)
    assert "larger" in refusal(Host(CONTENT, []), tmp_path, size=1000)
    assert "ended early" in refusal(Host(CONTENT, []), tmp_path, size=len(CONTENT) + 1)


def test_the_file_server_goes_on_where_it_broke(migrated_url: str, tmp_path: Path) -> None:
    """The first part was had before; the rest is the same file's."""
    with serving(migrated_url) as served:
        link = served.link(served.make_output(CONTENT))
        [path] = fetch_files([Linked("model.glb", len(CONTENT), SHA256, link)], tmp_path)
    assert path.read_bytes() == CONTENT


TOLD: dict[str, Any] = {
    "name": "model.glb",
    "bytes": 3,
    "sha256": SHA256,
    "url": "https://files.example/1",
    "expires_at": "2026-01-01T00:00:00+00:00",
}
BEFORE, AFTER = datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def test_an_event_tells_its_links() -> None:
    """While they are good; the link is in no repr."""
    found = read_links([TOLD, {**TOLD, "name": "artifacts.zip"}], BEFORE)
    assert [each.name for each in found or ()] == ["model.glb", "artifacts.zip"]
    assert "files.example" not in repr(found)
    assert read_links([TOLD], AFTER) is None
    missing = dict.fromkeys(TOLD) | {"name": "artifacts.zip", "missing": "it broke off"}
    assert [each.name for each in read_links([missing, TOLD], BEFORE) or ()] == ["model.glb"]


@pytest.mark.parametrize(
    "more",
    [{"url": None, "expires_at": None}, {"url": "file:///etc/passwd"}, {"url": 7}, {"name": "../x"}, {"name": ""},
     {"name": None}, {"name": ".ssh"}, {"bytes": -1}, {"bytes": "3"}, {"sha256": "x"}, {"sha256": None},
     {"expires_at": "soon"}, {"expires_at": "2026-01-01T00:00:00"}, {"expires_at": 7}],
    ids=str,
)  # fmt: skip
def test_what_is_no_link_is_not_followed(more: dict[str, Any]) -> None:
    """Anybody may have written it; one of several is enough to look elsewhere."""
    assert read_links([TOLD, {**TOLD, **more}], BEFORE) is None


@pytest.mark.parametrize("outputs", [None, [], {}, "x", [None], [[]], [{}]])
def test_outputs_that_are_none_have_no_links(outputs: object) -> None:
    """A job without any, or an event of an earlier release."""
    assert read_links(outputs, BEFORE) is None
