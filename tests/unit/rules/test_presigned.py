"""Addresses of ours that photos are sent as: their marks, and their lifetimes."""

from datetime import timedelta

import pytest

from worker.rules.presigned import (
    LIFETIME,
    NAMES,
    PLACE,
    address_of,
    lifetime,
    mark_of_address,
    mark_of_place,
    name_in,
)
from worker.rules.run import kind
from worker.vendor.history import mark_inputs

PHOTO = "https://bucket.example.com/input/sha256/ab/abcd.png"


def test_an_address_has_the_mark_that_rows_have_of_it() -> None:
    """It is compared with what the history shows."""
    url = f"{PHOTO}?X-Amz-Signature=1"
    assert mark_inputs({"image": url}) == {"image": mark_of_address(url)}


@pytest.mark.parametrize("end", ["", "?a=b", "?a=b?c", "#d", "?a=b#d"])
def test_a_place_is_an_address_without_what_is_signed(end: str) -> None:
    """Whoever signs it, when, and for how long."""
    assert mark_of_place(PHOTO + end) == mark_of_place(PHOTO)
    assert kind({"image": mark_of_place(PHOTO)}, "image") == PLACE


def test_a_photo_has_one_name_in_every_store() -> None:
    """It is named by what it holds."""
    elsewhere = mark_of_place("https://other.example.com/x/input/sha256/ab/abcd.png?e=1")
    assert elsewhere != mark_of_place(PHOTO)
    assert name_in(elsewhere) == name_in(mark_of_place(PHOTO)) != ""
    assert name_in(mark_of_place(PHOTO.replace("abcd", "abce"))) != name_in(elsewhere)
    assert name_in(None) == ""


def test_what_names_a_submit_is_the_address_of_its_photo() -> None:
    """Or that of its mask, where the photo is a sender's own."""
    assert address_of({"mask": "url:m", "image": "url:i"}) == "url:i"
    assert address_of({"mask": "url:m"}) == "url:m"
    assert address_of({}) is None


def test_a_lifetime_is_a_day_and_up_to_an_hour() -> None:
    """The next try has another second of it, and no second comes twice in as many tries as there are."""
    first = lifetime("token")
    assert LIFETIME <= first < LIFETIME + timedelta(seconds=NAMES)
    assert {lifetime("token", tries) for tries in range(NAMES)} == {
        LIFETIME + timedelta(seconds=n) for n in range(NAMES)
    }
    assert len({lifetime(f"token {n}") for n in range(100)}) > 90
