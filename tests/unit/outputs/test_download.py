"""Two outputs of a kind get two names; what came in an answer is checked as what was downloaded."""

import hashlib

import pytest

from worker.errors import OutputBroken
from worker.outputs.download import require_sound, take_in, with_unique_names
from worker.rules.output_files import StoredFile


def file(name: str) -> StoredFile:
    """Return an output of this name."""
    return StoredFile(name, "application/octet-stream", 0, "", "database:output")


def test_two_of_a_kind_get_two_names() -> None:
    """The order stays, the first keeps its name."""
    files = [file(name) for name in ("model.glb", "artifacts.zip", "model.glb", "model.glb")]
    named = [each.name for each in with_unique_names(files)]
    assert named == ["model.glb", "artifacts.zip", "model-2.glb", "model-3.glb"]


def test_a_name_that_is_given_is_not_given_again() -> None:
    """What an earlier try stored keeps its name, whatever is in between."""
    named = [each.name for each in with_unique_names([file("a.png"), file("a.png")], ["a.png", "a-3.png"])]
    assert named == ["a-2.png", "a-4.png"]


def test_what_came_in_an_answer_is_told_by_its_bytes() -> None:
    """With its size and SHA-256; it can be read from the beginning."""
    body = b'{"pose": [1, 2, 3]}'
    file = take_in(body, "json")
    assert (file.name, file.size, file.sha256) == ("facts.json", len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("body", [b"", b"glTF", b"<html>", b"{}", b"oops"])
def test_an_answer_that_is_no_model_is_broken(body: bytes) -> None:
    """Though it came with a 200."""
    with pytest.raises(OutputBroken):
        require_sound(take_in(body, "glb"))
