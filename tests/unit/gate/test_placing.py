"""Where nodes put meshes."""

from math import sqrt
from typing import Any

import pytest

from worker.gate.placing import WORLD, moved, placements
from worker.gate.unfit import Unfit
from worker.rules.geometry import Box

BOX: Box = ((0.0, 0.0, 0.0), (1.0, 2.0, 3.0))


def model(*nodes: dict[str, Any]) -> dict[str, Any]:
    """Return a model whose scene has the first of these nodes."""
    return {"meshes": [{}], "nodes": list(nodes), "scenes": [{"nodes": [0]}]}


@pytest.mark.parametrize(
    ("node", "box"),
    [
        ({}, BOX),
        ({"translation": [1, 2, 3]}, ((1, 2, 3), (2, 4, 6))),
        ({"scale": [2, -1, 1]}, ((0, -2, 0), (2, 0, 3))),
        ({"rotation": [0, 0, sqrt(0.5), sqrt(0.5)]}, ((-2, 0, 0), (0, 1, 3))),
        ({"matrix": [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1]}, ((3, 6, 7), (5, 7, 10))),
    ],
    ids=["as it is", "elsewhere", "mirrored", "turned", "a matrix"],
)
def test_a_node_puts_its_mesh_somewhere(node: dict[str, Any], box: Box) -> None:
    """A quarter turn about z takes x to y."""
    ((number, frame),) = placements(model({**node, "mesh": 0}))
    assert number == 0
    assert [*moved(BOX, frame)[0], *moved(BOX, frame)[1]] == pytest.approx([*box[0], *box[1]])


def test_a_node_within_a_node() -> None:
    """The outer one moves what the inner one has turned."""
    outer = {"translation": [10, 0, 0], "scale": [2, 2, 2], "children": [1]}
    ((_, frame),) = placements(model(outer, {"translation": [1, 0, 0], "mesh": 0}))
    assert moved(BOX, frame) == ((12, 0, 0), (14, 4, 6))


def test_without_scenes_each_mesh_is_as_it_is() -> None:
    """A library of meshes has none."""
    assert list(placements({"meshes": [{}, {}]})) == [(0, WORLD), (1, WORLD)]


def test_a_chain_of_nodes_is_followed_and_a_ring_is_not() -> None:
    """However long it is."""
    chain = [{"children": [number + 1], "scale": [1, 1, 2]} for number in range(999)]
    assert len(list(placements(model(*chain, {"mesh": 0})))) == 1
    with pytest.raises(Unfit, match="a node twice"):
        list(placements(model(*chain, {"children": [0]})))
