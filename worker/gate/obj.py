"""Pure: what is in an OBJ: its corners, and faces that name corners which are there."""

from collections.abc import Sequence
from itertools import islice
from typing import BinaryIO

from worker.errors import OutputBroken
from worker.gate.lines import MOST_LINES, Growing, point, rows
from worker.gate.unfit import Unfit, require, require_size
from worker.rules.geometry import Geometry


class _Reading:
    """What the lines of an OBJ said so far."""

    def __init__(self) -> None:
        self.box = Growing()
        self.triangles = self.farthest = 0
        self.has_colours = self.has_textures = False

    def take(self, words: Sequence[bytes]) -> None:
        """Read a line."""
        match words:
            case [b"v", x, y, z, *more]:
                self.box.take(point((x, y, z)))
                self.has_colours = self.has_colours or len(more) >= 3
            case [b"v", *_]:
                raise Unfit("has a position that is no three numbers")
            case [b"f", *corners]:
                if len(corners) < 3:
                    raise Unfit(f"has a face of {len(corners)} corners")
                self.triangles += len(corners) - 2
                for corner in corners:
                    self._take_corner(corner)
            case [b"vt", *_]:
                self.has_textures = True

    def _take_corner(self, word: bytes) -> None:
        """Take which corner a face names, from 1; one below 0 counts from the last."""
        try:
            number = int(word.partition(b"/")[0][:20])
        except ValueError:
            raise Unfit("has a face that names no corner") from None
        if not number or number < -self.box.count:
            raise Unfit(f"names corner {number} of {self.box.count}")
        self.farthest = max(number, self.farthest)


def check_obj(content: BinaryIO, size: int) -> Geometry:
    """Return what is in an OBJ; of a very long one as far as it is read.

    Raises:
        OutputBroken: says what is wrong.
    """
    reading, lines = _Reading(), rows(content)
    try:
        for words in islice(lines, MOST_LINES):
            reading.take(words)
        is_all = next(lines, None) is None
        require(reading.box.count, "has no corner")
        require(reading.farthest <= reading.box.count or not is_all, f"names more than its {reading.box.count} corners")
        require_size(reading.box.box)
    except Unfit as error:
        raise OutputBroken(f"The OBJ of {size} bytes {error}.") from None
    return Geometry(
        triangles=reading.triangles if is_all else None,
        vertices=reading.box.count if is_all else None,
        bounds=reading.box.box if is_all else None,
        has_colours=reading.has_colours,
        has_textures=reading.has_textures,
        splats=0,
    )
