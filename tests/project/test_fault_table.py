"""The table of faults names each row, and only tests that there are; the mutants fit the code."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.faults.mutants import MUTANTS, ROOT, Mutant

TESTS = Path(__file__).parents[1]
TABLE = (TESTS / "faults" / "README.md").read_text()


def test_every_row_is_there() -> None:
    """From the first fault to the soak, and each that was met after it, in order."""
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)]
    assert numbers[:24] == list(range(1, 25))
    assert numbers == sorted(set(numbers))


def test_every_named_test_exists() -> None:
    """Files and functions, in this folder or another."""
    code = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    there = {path.stem for path in TESTS.rglob("test_*.py")} | set(re.findall(r"def (test_\w+)", code))
    assert set(re.findall(r"test_\w+(?!\w|\*)", TABLE)) - there == set()


def test_every_test_is_named() -> None:
    """Whoever adds a fault says in the table what must hold through it."""
    files = [path.name for path in (TESTS / "faults").glob("test_*.py")]
    named = re.findall(r"test_\w+\*?\.py", TABLE)
    assert [file for file in files if not any(fnmatch(file, name) for name in named)] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_fits(mutant: Mutant) -> None:
    """The text that it changes is there, once."""
    assert [(ROOT / edit.file).read_text().count(edit.text) for edit in mutant.edits] == [1] * len(mutant.edits)
