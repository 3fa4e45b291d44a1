"""Pure: which submit a listed run names, by an address of ours that was made for it alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.rules.habits import Likeness, Pair, Sent
from worker.rules.presigned import FILES, PLACE
from worker.rules.run import Inputs, Listed, kind


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
