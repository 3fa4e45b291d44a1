"""Pure: addresses of ours that photos are sent as: how each is marked, and how long it is good.

A presigned address is made for one submit alone: it is as good as a name, wherever it is shown whole.
"""

from collections.abc import Mapping
from datetime import timedelta
from hashlib import sha256

FILES = ("image", "mask")

PLACE = "place"
"""The kind of a file that was sent as an address of ours: known by where that leads, as each submit has its own."""

LIFETIME = timedelta(hours=24)
"""How long an address is good at least: much longer than the vendor knows a run, which may wait there."""

NAMES = 3600
"""Addresses of one photo that can be made in one second: each lives a second longer than another."""


def mark_of_address(url: str) -> str:
    """Return the mark of a whole address: it tells it from others, and does not open the file."""
    return f"url:{_digest(url)}"


def mark_of_place(url: str) -> str:
    """Return the mark of where an address leads, and apart from it the mark of the photo's name there.

    All addresses of one photo in one store have it in common, and the second half those in any store of ours.
    """
    place = url.partition("#")[0].partition("?")[0]
    return f"{PLACE}:{_digest(place)}/{_digest(place.rpartition('/')[2])}"


def name_in(mark: str | None) -> str:
    """Return the mark of the photo's name in that of a place; a photo of ours has its content's, in whatever store."""
    return (mark or "").partition("/")[2]


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def lifetime(token: str, tries: int = 0) -> timedelta:
    """Return how long a submit's address is good, 24 to 25 h: by the second it is told from others of that moment.

    For example 24 h 17 min 5 s; with the next of ``tries``, where another has that already, a second more.
    """
    drawn = int.from_bytes(sha256(token.encode()).digest()[:8])
    return LIFETIME + timedelta(seconds=(drawn + tries) % NAMES)


def address_of(marks: Mapping[str, str]) -> str | None:
    """Return which of a submit's addresses names it: the photo's, or, where that is a sender's own, the mask's."""
    return next((marks[name] for name in FILES if name in marks), None)
