"""What is in a model, as others read it."""

import json

from worker.rules.geometry import Geometry, around


def test_it_can_be_written_as_json() -> None:
    """A box is two lists; what is not known is null."""
    written = json.loads(json.dumps(Geometry(triangles=2, bounds=((0, 0, 0), (1, 2, 3))).to_json()))
    assert written == {
        "triangles": 2, "vertices": None, "bounds": [[0, 0, 0], [1, 2, 3]], "has_colours": None,
        "has_textures": None, "splats": None,
    }  # fmt: skip
    assert Geometry().to_json()["bounds"] is None


def test_the_box_around_boxes() -> None:
    """Of none there is none."""
    assert around([]) is None
    assert around([((0, 0, 0), (1, 1, 1)), ((-1, 0, 2), (0, 3, 4))]) == ((-1, 0, 0), (1, 3, 4))
