"""What a person gives on the command line, as a request has it."""

import json

import pytest

from worker.cli import given
from worker.errors import InvalidMessage
from worker.intake.request import ReconstructionRequest

PHOTO = "worker/photos/cat.png"


@pytest.mark.parametrize("text", ["1,2,30,40", " 1, 2, 30, 40", "[1, 2, 30, 40]"])
def test_a_box_in_either_form(text: str) -> None:
    """As one writes it in a shell, or as JSON."""
    assert json.loads(given.request_of(PHOTO, bounding_box=given.box(text))["bounding_box"]) == [1, 2, 30, 40]


@pytest.mark.parametrize("text", ["1,2;3,4.5", "[[1, 2], [3, 4.5]]"])
def test_points_in_either_form(text: str) -> None:
    """As one writes them in a shell, or as JSON."""
    assert json.loads(given.request_of(PHOTO, point_coords=given.points(text))["point_coords"]) == [[1, 2], [3, 4.5]]


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b,c,d", "1]],[[2", "9,9,1,1", "1;2;3;4", "nan,1,2,3"])
def test_anything_else_is_refused_by_the_options_name(text: str) -> None:
    """Whatever it would be in brackets."""
    for fields in ({"bounding_box": given.box(text)}, {"point_coords": given.points(f"{text};;")}):
        with pytest.raises(InvalidMessage, match=r"^`--(box|points)` must "):
            given.request_of(PHOTO, **fields)


def test_every_field_has_an_option() -> None:
    """An error names what a person can change."""
    assert {*given.OPTIONS, "image"} == set(ReconstructionRequest.model_fields)


def test_an_error_shows_no_secret() -> None:
    """An address may be signed, and a data URI is the photo itself."""
    for image in ("ftp://example.com/a.png?signature=s3cret", "data:text/plain;base64,s3cret"):
        with pytest.raises(InvalidMessage) as refused:
            given.request_of(image)
        assert "s3cret" not in str(refused.value)
