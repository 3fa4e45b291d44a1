"""Where a model goes that nobody gave a place."""

from pathlib import Path

import pytest

from worker.cli.call import LONGEST_NAME, named_after, place_of
from worker.errors import InvalidMessage


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("photos/cup.jpg", "cup.glb"),
        ("/a/b/cup.of.tea.jpeg", "cup.of.tea.glb"),
        ("cup", "cup.glb"),
        ("https://example.com/a/cup.jpg?signature=x.y/z", "cup.glb"),
        ("https://example.com/", "model.glb"),
        ("data:image/png;base64,AAAA", "model.glb"),
        ("5a3d0b1e-7c5e-4d0a-9a57-1f6c1c0f3d5a", "5a3d0b1e-7c5e-4d0a-9a57-1f6c1c0f3d5a.glb"),
    ],
)
def test_a_model_is_named_after_its_photo(source: str, name: str) -> None:
    """Without what may be secret in an address."""
    assert named_after(source) == name


@pytest.mark.parametrize("character", ["x", "東", "\udcff"])
def test_a_name_fits_a_disk(character: str) -> None:
    """However long the photo's is."""
    assert len(named_after(f"{character * 300}.jpg").encode()) <= LONGEST_NAME


def test_a_folder_has_the_photos_name_in_it(tmp_path: Path) -> None:
    """One that is there, and one that is to be made."""
    assert place_of(tmp_path, "cup.jpg") == tmp_path / "cup.glb"
    assert place_of(tmp_path / "models", "cup.jpg") == tmp_path / "models" / "cup.glb"
    assert place_of(tmp_path / "a.glb", "cup.jpg") == tmp_path / "a.glb"


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    """No device, and nothing that is too long for a disk."""
    for out in (Path("/dev/null"), tmp_path / f"{'x' * LONGEST_NAME}.glb", tmp_path / "a.glb" / "b.glb"):
        (tmp_path / "a.glb").touch()
        with pytest.raises(InvalidMessage, match=r"^`--out` "):
            place_of(out, "cup.jpg")
