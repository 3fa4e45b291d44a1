"""The map of the code in ``worker/__init__.py`` is the code."""

import re
from pathlib import Path

import worker

ROOT = Path(worker.__file__).parent
MAP = re.findall(r"^``(\w+)``", worker.__doc__ or "", re.MULTILINE)


def modules() -> set[str]:
    """Return the names of the modules and packages that a reader finds in the folder."""
    files = {path.stem for path in ROOT.glob("*.py")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return {name for name in files | packages if not name.startswith("_")}


def test_each_file_is_on_the_map() -> None:
    """A newcomer finds a line for each file."""
    assert sorted(modules() - set(MAP)) == []


def test_each_name_on_the_map_is_a_file() -> None:
    """The map names nothing that is gone."""
    assert sorted(set(MAP) - modules()) == []


def test_nothing_is_on_the_map_twice() -> None:
    """Each file has one place on a job's way."""
    assert len(MAP) == len(set(MAP))
