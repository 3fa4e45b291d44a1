"""A file that is saved is whole, under its own name in its folder, or not there."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from worker.errors import Sam3dError
from worker.outputs.saving import write_file


def described(content: bytes, name: str = "model.glb") -> dict[str, Any]:
    """Return the row of a stored file."""
    return {"name": name, "sha256": hashlib.sha256(content).hexdigest()}


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """Chunk by chunk, under its own name, replacing an older one."""
    (tmp_path / "model.glb").write_bytes(b"old")
    path = write_file(iter([b"new ", b"model"]), described(b"new model"), tmp_path)
    assert path == tmp_path / "model.glb"
    assert path.read_bytes() == b"new model"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_differs_is_not_written(tmp_path: Path) -> None:
    """What was there stays, nothing is left over."""
    (tmp_path / "model.glb").write_bytes(b"old")
    with pytest.raises(Sam3dError, match=r"model\.glb is not what was stored"):
        write_file(iter([b"other"]), described(b"new model"), tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_file_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """An error of the database in the middle ends the same way."""

    def chunks() -> Any:
        yield b"new "
        raise ConnectionError

    with pytest.raises(ConnectionError):
        write_file(chunks(), described(b"new model"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../model.glb", "/etc/model.glb", "a/b/model.glb"])
def test_a_name_does_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Whatever a row says."""
    folder = tmp_path / "out"
    folder.mkdir()
    assert write_file(iter([b"x"]), described(b"x", name), folder) == folder / "model.glb"
