"""The error tree is as it is drawn."""

import re

from worker import errors
from worker.errors import Sam3dError


def drawn() -> dict[str, str]:
    """Return the parent of each class, by name, from the drawing in the module's docstring."""
    parents, above = {}, [Sam3dError.__name__]
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r" {4}([│ ]*)[├└]── (\w+)", line)
        if branch:
            depth = len(branch[1]) // 4 + 1
            parents[branch[2]] = above[depth - 1]
            above[depth:] = [branch[2]]
    return parents


def defined(parent: type[Exception]) -> dict[str, str]:
    """Return the parent of each class, by name, as the code has them."""
    tree: dict[str, str] = {}
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            tree |= {child.__name__: parent.__name__} | defined(child)
    return tree


def test_tree_is_as_drawn() -> None:
    """The drawing in the docstring has each class, under its parent, and no other."""
    assert drawn() == defined(Sam3dError)
