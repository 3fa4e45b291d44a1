"""The measures that keep the house: short files and functions, few imports of one another, a name for one thing."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = Path("worker")
FILES = sorted(WORKER.rglob("*.py"))
OURS = [path for path in FILES if "simulator" not in path.parts]
"""The simulator is another program, with names of its own."""

LONGEST_FILE = 260
LONGEST_FUNCTION = 40
SHORT_FUNCTION = 15
MOST_IMPORTS = 14


def module(path: Path) -> str:
    """Return the name that a file is imported by."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path) for path in FILES}


def own_imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports."""
    froms = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.ImportFrom) and each.module]
    named = [(each.module, f"{each.module}.{name.name}") for each in froms for name in each.names]
    found = {whole if whole in MODULES else start for start, whole in named if start and start.startswith("worker")}
    return found - {"worker.log"}  # Whoever writes a line has it, and leans on nothing by that.


def functions() -> Iterator[tuple[str, int]]:
    """Yield each function with its lines."""
    for path in FILES:
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module(path)}.{each.name}", (each.end_lineno or 0) - each.lineno + 1


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_is_read_at_one_go(path: Path) -> None:
    """It is short, and leans on few others."""
    assert len(path.read_text().splitlines()) <= LONGEST_FILE
    assert len(own_imports(path)) <= MOST_IMPORTS


def test_functions_are_short() -> None:
    """Nine in ten fit a glance, and each a screen."""
    lengths = dict(functions())
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}
    assert sum(lines <= SHORT_FUNCTION for lines in lengths.values()) >= 0.9 * len(lengths)


def test_a_name_stands_for_one_file() -> None:
    """Whoever looks for a file by its name finds one."""
    names = Counter(
        module(path).rpartition(".")[2] for path in OURS if path.parent != WORKER or path.stem != "__init__"
    )
    assert [name for name, count in names.items() if count > 1] == []
