"""The parameters of a run are checked as the vendor's page describes them."""

from typing import Any

import pytest

from worker.simulator.parameters import MAX_SEED, BadParameterError, box, check, points, seed


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"prompt": "car", "seed": 0},
        {"seed": MAX_SEED, "include_artifacts": True},
        {"bounding_box": "[50, 75, 350, 400]"},
        {"point_coords": "[[1,2]]"},
        {"point_coords": "[[1,2],[3.5,4]]", "mask": "aGk="},
        {"bounding_box": "", "point_coords": None, "seed": None},
    ],
)
def test_good_parameters(extra: dict[str, Any]) -> None:
    """What the documentation shows is taken."""
    assert check({"image": "aGk=", **extra})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "object"),
        ({}, "image is required"),
        ({"image": ""}, "image is required"),
        ({"image": 3}, "image must be"),
        ({"image": "x", "mask": 3}, "mask must be"),
        ({"image": "x", "prompt": ["a"]}, "prompt must be"),
        ({"image": "x", "seed": -1}, "seed must be"),
        ({"image": "x", "seed": MAX_SEED + 1}, "seed must be"),
        ({"image": "x", "seed": True}, "seed must be"),
        ({"image": "x", "seed": "1"}, "seed must be"),
        ({"image": "x", "include_artifacts": "yes"}, "include_artifacts must be"),
        ({"image": "x", "bounding_box": [1, 2, 3, 4]}, "bounding_box must be"),
        ({"image": "x", "bounding_box": "[1, 2, 3]"}, "bounding_box must be"),
        ({"image": "x", "bounding_box": "[3, 2, 1, 4]"}, "x1 < x2"),
        ({"image": "x", "bounding_box": "1,2,3,4"}, "bounding_box must be"),
        ({"image": "x", "bounding_box": "[1, 2, 3, NaN]"}, "bounding_box must be"),
        ({"image": "x", "point_coords": "[]"}, "point_coords must be"),
        ({"image": "x", "point_coords": "[1,2]"}, "point_coords must be"),
        ({"image": "x", "point_coords": "[" * 100_000}, "point_coords must be"),
    ],
)
def test_bad_parameters(body: object, said: str) -> None:
    """What the documentation excludes is refused by name."""
    with pytest.raises(BadParameterError, match=said):
        check(body)


def test_values_are_read() -> None:
    """Box, points and seed come out as numbers."""
    assert box({"bounding_box": "[50, 75, 350, 400]"}) == (50, 75, 350, 400)
    assert points({"point_coords": "[[1,2],[3,4]]"}) == ((1, 2), (3, 4))
    assert seed({}) == 123
    assert seed({"seed": 0}) == 0
