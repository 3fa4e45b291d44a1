"""A dead letter as a person sees it: cut short, and readable whatever is in it."""

import json

import pytest

from worker.cli.dead import LONGEST_TEXT, abbreviated, readable


def test_images_are_cut_short_for_a_person() -> None:
    """A body of megabytes is shown on a screen."""
    assert abbreviated({"image": "A" * 1000, "seed": 1, "points": [[1, "x"]]}) == {
        "image": "A" * LONGEST_TEXT + "… (1000 characters)",
        "seed": 1,
        "points": [[1, "x"]],
    }


@pytest.mark.parametrize("body", ["no JSON", "[" * 100_000, json.dumps(["x"] * 100_000)])
def test_any_body_can_be_shown(body: str) -> None:
    """Whatever it is, it fits."""
    assert len(readable(body)) < 5000
