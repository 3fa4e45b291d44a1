"""Pure: photos that are sent as addresses of ours: how each is marked, and which submit a listed run names by one.

A presigned address is made for one submit alone: it is as good as a name, wherever it is shown whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from worker.rules.habits import Likeness, Pair, Sent
from worker.rules.run import PLACE, Inputs, Listed, kind

FILES = ("image", "mask")

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


@dataclass(frozen=True)
class Names:
    """Which submit of ours has which address, and whether rows are known to show addresses whole."""

    owners: Mapping[str, Sent]
    are_shown: bool

    @classmethod
    def of(cls, sent: Iterable[Sent], pairs: Iterable[Pair]) -> "Names":
        """Learn from the rows of submits that were answered, whichever of ours they name."""
        owners = {each.address: each for each in sent if each.address}
        shown = [bool(owners.keys() & urls_of(pair.row)) for pair in pairs if pair.sent.address]
        return cls(owners, bool(shown) and all(shown))

    def likeness(self, addresses: frozenset[str], inputs: Inputs, row: Listed) -> Likeness | None:
        """Tell whether a row names a submit with these addresses, or another; None where it names none.

        One that names a submit which has another run by now is as good as any of the same inputs.
        """
        if not self.owners and not addresses:
            return None
        shown = urls_of(row)
        if shown & addresses:
            return Likeness.SAME
        owner = next((self.owners[each] for each in shown if each in self.owners), None)
        if owner:
            return None if owner.run else Likeness.OTHER
        is_another = any(_leads_to(row, name, mark) for name, mark in inputs.items())
        return Likeness.OTHER if addresses and self.are_shown and is_another else None


def _leads_to(row: Listed, name: str, mark: str) -> bool:
    """Tell whether a row shows a whole address of this place, not the place alone."""
    is_bare = (row.inputs or {}).get(name, "").removeprefix("url:") in mark
    return row.places.get(name) == mark and not is_bare


def is_placed(inputs: Inputs) -> bool:
    """Tell whether a file was sent as an address of ours."""
    return any(kind(inputs, name) == PLACE for name in FILES)


def urls_of(row: Listed) -> frozenset[str]:
    """Return the marks of the addresses that a row shows whole."""
    inputs = row.inputs or {}
    return frozenset(mark for name in FILES if (mark := inputs.get(name, "")).startswith("url:"))


def address_of(marks: Mapping[str, str]) -> str | None:
    """Return which of a submit's addresses names it: the photo's, or, where that is a sender's own, the mask's."""
    return next((marks[name] for name in FILES if name in marks), None)
