"""Pure: what does not fit a file, and the numbers of its description that have to."""

from collections.abc import Mapping, Sequence
from typing import Any

LARGEST = 2**53
"""What a whole number of JSON is at most."""

MOST_FINITE = 2.0**127
"""What a coordinate is below; as large ones are no place of anything."""

MOST_PARTS = 10_000
"""Things of a kind in a model, of which an object has a few."""


class Unfit(ValueError):
    """A part does not fit its file: the text goes on where a sentence has named the file, and quotes nothing of it."""


def require(fits: object, why: str) -> None:
    """Go on where something fits.

    Raises:
        Unfit: it does not.
    """
    if not fits:
        raise Unfit(why)


def natural(owner: Mapping[str, Any], name: str, default: int | None = None, *, least: int = 0) -> int:
    """Return a whole number of a description; 3.0 is one as well (glTF 2.0, "JSON Encoding").

    Raises:
        Unfit: it is none, or not from ``least`` to 2**53.
    """
    value = owner.get(name, default)
    if type(value) is int and least <= value <= LARGEST:
        return value
    is_number = type(value) is int or (isinstance(value, float) and value.is_integer())
    if value is None or not is_number or not least <= value <= LARGEST:
        raise Unfit(f"has a {name} that is no whole number from {least}")
    return int(value)


def index(owner: Mapping[str, Any], name: str, among: Sequence[object]) -> int:
    """Return the number of a thing in its list.

    Raises:
        Unfit: there is no such thing.
    """
    value = natural(owner, name)
    if value >= len(among):
        raise Unfit(f"names {name} {value} of {len(among)}")
    return value


def numbers(owner: Mapping[str, Any], name: str, length: int) -> Sequence[float] | None:
    """Return a list of so many numbers; None where a description has none.

    Raises:
        Unfit: it is another list, or has something else in it.
    """
    values = owner.get(name)
    if values is None:
        return None
    if not (isinstance(values, list) and len(values) == length and all(map(_is_finite, values))):
        raise Unfit(f"has a {name} that is no list of {length} numbers")
    return tuple(map(float, values))


def _is_finite(value: object) -> bool:
    return (type(value) is float or type(value) is int) and abs(value) < MOST_FINITE


def parts(owner: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    """Return a list of objects; an empty one where a description has none.

    Raises:
        Unfit: it is something else, or too long.
    """
    if name not in owner:
        return ()
    values = owner[name]
    if not isinstance(values, list):
        raise Unfit(f"has {name} that are no list")
    if len(values) > MOST_PARTS:
        raise Unfit(f"has {len(values)} {name}, and {MOST_PARTS} are read at most")
    if not {*map(type, values)} <= _OBJECTS:
        raise Unfit(f"has something else among its {name}")
    return values


_OBJECTS = {dict}


def part(owner: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object; an empty one where a description has none.

    Raises:
        Unfit: it is something else.
    """
    value = owner.get(name, {})
    if not isinstance(value, dict):
        raise Unfit(f"has {name} that are no object")
    return value


def require_size(box: Sequence[Sequence[float]]) -> None:
    """Go on where a box is of finite size and no single point; a flat one is one as well, as of a leaf or a card.

    Raises:
        Unfit: there is nothing to be seen.
    """
    low, high = box
    require(all(map(_is_finite, [*low, *high])), "has a position that is no finite number")
    require(any(most > least for least, most in zip(low, high, strict=True)), "has all its positions at one point")
