"""Each folder of ``worker/`` has a map in its ``__init__.py``, and the map is the folder."""

import ast
import re
from pathlib import Path

import pytest

import worker

ROOT = Path(worker.__file__).parent
FOLDERS = [path.parent for path in sorted(ROOT.rglob("__init__.py"))]


def mapped(folder: Path) -> list[str]:
    """Return the names that a folder's map has a line for."""
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return re.findall(r"^``(\w+)``", said, re.MULTILINE)


def inside(folder: Path) -> set[str]:
    """Return the names of the modules and packages that a reader finds in a folder."""
    files = {path.stem for path in folder.glob("*.py")}
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return {name for name in files | packages if not name.startswith("_")}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_map_is_the_folder(folder: Path) -> None:
    """A newcomer finds a line for each file, once, and nothing that is gone."""
    assert sorted(mapped(folder)) == sorted(inside(folder))
