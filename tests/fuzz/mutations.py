"""Bytes that are nearly good: some of a seed cut out, doubled, spliced, or written over by what breaks readers."""

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

TOKENS = (
    b"", b"\0", b"\xff", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"null", b"true",
    b"NaN", b"-Infinity", b"1e400", b"-0", b"9" * 400, b"0.1", b"{}", b"[]", b'{"a":1}', b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80", b"\r\n", b"\x1b[31m", b"\xe2\x80\xae", b"../../etc/passwd", b"http://127.0.0.1:1/", b"https://",
    b"data:image/png;base64,", b'"__type__"', b'"__value__"', b'"self"', b"\xff\xff\xff\xff", b"\0\0\0\0",
    b"\x7f\xff\xff\xff", b"\x01\0\0\0", b"PK\5\6", b"JSON",
)  # fmt: skip
"""What readers stumble over, of text and of bytes."""

TIMES = (2, 100, 10_000, 1_000_000)
LARGEST = 2**23
SCALE = 2**16
"""What places are counted in: a seed of any length has so many."""


@dataclass(frozen=True)
class Change:
    """What is done to the bytes between two places."""

    kind: int
    start: int
    end: int
    token: int
    more: int

    def __call__(self, content: bytes, seeds: Sequence[bytes]) -> bytes:
        """Return the bytes with this change."""
        start, end = sorted(place * len(content) // SCALE for place in (self.start, self.end))
        return content[:start] + self._in_its_place(content[start:end], seeds) + content[end:]

    def _in_its_place(self, part: bytes, seeds: Sequence[bytes]) -> bytes:
        token, other = TOKENS[self.token], seeds[self.more % len(seeds)]
        match self.kind:
            case 0:
                return b""
            case 1:
                return part + token + part
            case 2:
                return token + part[self.more :]
            case 3:
                return other[self.token * len(other) // len(TOKENS) :][:SCALE]
        unit = token + part[:32] or b"A"  # Very many of something small.
        return unit * min(TIMES[self.more % len(TIMES)], LARGEST // len(unit))


@dataclass(frozen=True)
class Recipe:
    """How bytes that are nearly good are made of a good example; it is short, whatever comes of it."""

    seed: int
    changes: Sequence[Change]

    def make(self, seeds: Sequence[bytes]) -> bytes:
        """Make the bytes."""
        content = seeds[self.seed % len(seeds)]
        for change in self.changes:
            content = change(content, seeds)[: 2 * LARGEST]
        return content


_places = st.integers(0, SCALE)
_changes = st.builds(Change, st.integers(0, 4), _places, _places, st.integers(0, len(TOKENS) - 1), st.integers(0, 16))
recipes = st.builds(Recipe, st.integers(0, 31), st.lists(_changes, max_size=6))
