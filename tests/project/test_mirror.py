"""Whoever changes a module finds its tests by its path, and no test leans on another."""

import ast
from pathlib import Path

import pytest

import worker

TESTS = Path(__file__).parents[1]
UNIT = TESTS / "unit"
CODE = Path(worker.__file__).parent


@pytest.mark.parametrize("path", sorted(UNIT.rglob("test_*.py")), ids=lambda path: str(path.relative_to(UNIT)))
def test_each_unit_test_has_its_module(path: Path) -> None:
    """The tests of ``worker/rules/retry.py`` are in ``tests/unit/rules/test_retry.py``."""
    module = path.relative_to(UNIT).with_name(path.name.removeprefix("test_"))
    assert (CODE / module).exists()


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_what_tests_share_is_support(path: Path) -> None:
    """No file takes anything from a test or from a conftest."""
    taken = [node.module or "" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert [name for name in taken if name.startswith("tests.") and _is_test(name)] == []


def _is_test(name: str) -> bool:
    return name.rpartition(".")[2].startswith(("test_", "conftest"))
