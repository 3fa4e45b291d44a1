"""Pure: models that are written as text, a line at a time, in little memory."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from worker.gate.unfit import MOST_FINITE, Unfit, require
from worker.rules.geometry import Box, Point, box_of

LONGEST_LINE = 2**16

MOST_LINES = 2**19
"""Lines that are read; of what is longer the rest is believed. So many take one or two seconds of CPU."""


AT_A_TIME = 3 * 2**12
"""Numbers that are compared at a time, which is quicker than one by one."""


def rows(content: BinaryIO, place: int = 0) -> Iterator[Sequence[bytes]]:
    """Give the words of each line that has any, from a place on.

    Raises:
        Unfit: a line is very long, or very many are empty.
    """
    content.seek(place)
    empty = 0
    while line := content.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE or empty > MOST_LINES:
            raise Unfit(f"has a line of more than {LONGEST_LINE} bytes, or more than {MOST_LINES} empty ones")
        if words := line.split():
            yield words
        else:
            empty += 1


def point(words: Sequence[bytes]) -> Point:
    """Return a place.

    Raises:
        Unfit: it is none.
    """
    try:
        x, y, z = map(float, words)  # In a loop over lines no sentence is made that is not needed.
    except ValueError:
        raise Unfit("has a position that is no three numbers") from None
    require(max(abs(x), abs(y), abs(z)) < MOST_FINITE, "has a position that is no finite number")
    return x, y, z


class Growing:
    """A box that grows with each place."""

    def __init__(self) -> None:
        self.count = 0
        self._latest: list[float] = []
        self._axes = [(float("inf"), -float("inf"))] * 3

    def take(self, place: Point) -> None:
        """Grow to a place."""
        self.count += 1
        self._latest += place
        if len(self._latest) >= AT_A_TIME:
            self._grow()

    def _grow(self) -> None:
        for axis, (low, high) in enumerate(self._axes):
            values = self._latest[axis::3]
            self._axes[axis] = min([low, *values]), max([high, *values])
        self._latest.clear()

    @property
    def box(self) -> Box:
        """The box around all places."""
        self._grow()
        return box_of(self._axes)
