"""Where the files of a run go, for one who named the model alone."""

from pathlib import Path

import pytest

from worker.outputs.gathering import is_model, paths_of


@pytest.mark.parametrize(
    ("names", "out", "paths"),
    [
        (["model.glb"], "cup.glb", ["cup.glb"]),
        (["model.glb"], "cup.model", ["cup.model"]),
        (["splat.ply"], "cup.glb", ["cup.ply"]),
        (["model.glb", "artifacts.zip"], "a/cup.glb", ["a/cup.glb", "a/cup-artifacts.zip"]),
        (["model.glb", "model.glb", "model.glb"], "cup.glb", ["cup.glb", "cup-model-2.glb", "cup-model-3.glb"]),
    ],
)
def test_files_go_beside_the_model(names: list[str], out: str, paths: list[str]) -> None:
    """The model under the name that was asked for; one that is no GLB is not called one."""
    assert [str(path) for path in paths_of(names, Path(out))] == paths


@pytest.mark.parametrize(("name", "is_one"), [("model.glb", True), ("splat.ply", True), ("image.png", False)])
def test_a_model_is_told_by_its_name(name: str, *, is_one: bool) -> None:
    """Which its bytes gave it."""
    assert is_model(name) == is_one
