"""What a downloaded file is told by its bytes, whatever it is called; two of a kind get two names."""

import io
import zipfile

import pytest

from worker.errors import OutputBroken
from worker.outcome import StoredFile
from worker.storage import _identify, with_unique_names


def glb(declared: int, size: int) -> bytes:
    """Return a GLB of this size that says it has that one."""
    return (b"glTF" + (2).to_bytes(4, "little") + declared.to_bytes(4, "little")).ljust(size, b"\0")


def packed(*names: str) -> bytes:
    """Return a ZIP with files of these names."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


def file(name: str) -> StoredFile:
    """Return an output of this name."""
    return StoredFile(name, "application/octet-stream", 0, "", io.BytesIO())


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (glb(100, 100), "model.glb", "model/gltf-binary"),
        (packed("a.txt"), "artifacts.zip", "application/zip"),
        (packed(), "artifacts.zip", "application/zip"),
        (packed("../outside", "/absolute"), "artifacts.zip", "application/zip"),
    ],
)
def test_a_file_is_known_by_its_bytes(content: bytes, name: str, media_type: str) -> None:
    """A ZIP is never unpacked, so the names in it do not matter."""
    assert _identify(io.BytesIO(content), len(content)) == (name, media_type)


@pytest.mark.parametrize(
    ("content", "evidence"),
    [
        (b"", "0 bytes is neither"),
        (b"oops", "4 bytes is neither"),
        (b"<html>", "6 bytes is neither"),
        (b"glTF", "4 bytes is neither"),
        (glb(100, 99), "says it has 100 bytes, 99 came"),
        (glb(100, 101), "says it has 100 bytes, 101 came"),
        (glb(2**32 - 1, 50), "50 came"),
        (packed("a.txt")[:-5], "has no directory"),
        (b"PK", "has no directory"),
        (b"PK\3\4" + bytes(100), "has no directory"),
    ],
)
def test_a_broken_file_is_told_with_evidence(content: bytes, evidence: str) -> None:
    """Sizes say more than "broken": what was promised and what came."""
    with pytest.raises(OutputBroken, match=evidence):
        _identify(io.BytesIO(content), len(content))


def test_two_of_a_kind_get_two_names() -> None:
    """The order stays, the first keeps its name."""
    files = [file(name) for name in ("model.glb", "artifacts.zip", "model.glb", "model.glb")]
    named = [each.name for each in with_unique_names(files)]
    assert named == ["model.glb", "artifacts.zip", "model-2.glb", "model-3.glb"]
