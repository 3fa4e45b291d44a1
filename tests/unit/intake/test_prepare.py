"""What a producer sends is checked before it is sent; what it downloads is complete or not there."""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from worker.errors import InvalidMessage
from worker.intake.prepare import prepare_request
from worker.intake.request import parse_request

MARKER = "m4rk3r"


@pytest.fixture
def photo_file(tmp_path: Path, png: bytes) -> Path:
    """Return the photo in a file."""
    path = tmp_path / "cat.png"
    path.write_bytes(png)
    return path


def test_a_path_its_text_and_its_bytes_are_the_same_image(photo_file: Path, png: bytes, photo: str) -> None:
    """A file is read here, on the sender's machine, and sent as base64."""
    for image in (photo_file, str(photo_file), png):
        assert prepare_request(image)["image"] == photo


@pytest.mark.parametrize("url", ["https://example.com/cat.png", "HTTP://example.com/cat.png"])
def test_a_url_is_sent_as_it_is(url: str) -> None:
    """The vendor reads it."""
    assert prepare_request(url, mask=url) | {"job_id": 0} == {"image": url, "mask": url, "job_id": 0}


def test_each_request_has_an_identity(photo_file: Path) -> None:
    """A new one, so that it can be waited for; or the sender's, so that it can be sent again."""
    ids = {prepare_request(photo_file)["job_id"] for _ in range(3)}
    assert {UUID(job_id).version for job_id in ids} == {4}
    assert len(ids) == 3
    assert prepare_request(photo_file, job_id=(given := str(uuid4())))["job_id"] == given


def test_what_is_none_is_left_out(photo_file: Path) -> None:
    """So an option that was not given needs no special case."""
    assert set(prepare_request(photo_file, mask=None, prompt=None, seed=0)) == {"image", "job_id", "seed"}


@pytest.mark.parametrize(
    "fields",
    [
        {"job_id": uuid4()},
        {"bounding_box": (1, 2, 3, 4)},
        {"point_coords": [(1, 2)]},
        {"metadata": {"order": 7}, "prompt": "é", "priority": 5},
    ],
)
def test_what_passes_the_check_can_be_sent(photo_file: Path, fields: dict[str, Any]) -> None:
    """A UUID object or a tuple is refused or sent, and read there as it was meant; it is not an error in between."""
    with suppress(InvalidMessage):
        request = prepare_request(photo_file, **fields)
        sent = json.loads(json.dumps(request))
        assert parse_request(sent).fingerprint == parse_request(request).fingerprint


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"seed": -1}, "seed"), ({"colour": "red"}, "colour"), ({"callback_url": "https://example.com"}, "callback_url")],
)
def test_a_wrong_field_is_refused_before_it_is_sent(photo_file: Path, fields: dict[str, Any], name: str) -> None:
    """By the same sentence that the worker would announce."""
    with pytest.raises(InvalidMessage) as error:
        prepare_request(photo_file, **fields)
    assert error.value.field == name


@pytest.mark.parametrize("name", ["image", "mask"])
def test_a_file_that_can_not_be_read(tmp_path: Path, photo_file: Path, name: str) -> None:
    """The field and the reason are told, the path is the sender's own business."""
    wrong = {
        tmp_path / "m4rk3r.png": "can't be read: No such file or directory.",
        tmp_path: "can't be read: Is a directory.",
        "m4rk3r\0.png": "embedded null byte.",
        b"m4rk3r": "is not an image that can be read (PNG, JPEG, WEBP, GIF, BMP, TIFF).",
    }
    for source, why in wrong.items():
        images: dict[str, Any] = {"image": photo_file, name: source}
        with pytest.raises(InvalidMessage) as error:
            prepare_request(**images)
        assert str(error.value) == f"`{name}` {why}"
        assert MARKER not in str(error.value)


def test_the_photo_is_sent_byte_for_byte(photo_file: Path, png: bytes) -> None:
    """Nothing is scaled or encoded anew."""
    assert base64.b64decode(prepare_request(photo_file)["image"]) == png
