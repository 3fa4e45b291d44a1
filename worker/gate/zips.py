"""Pure: whether a ZIP is whole, and safe to be opened, by its directory; nothing is unpacked."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import OutputBroken, OutputUnusable
from worker.gate.arrays import read_at

MOST_ENTRIES = 10_000
"""Files of a ZIP."""

LARGEST_DIRECTORY = 4 * 2**20
LARGEST_UNPACKED = 2**32 - 2
"""Bytes of all files of a ZIP; one more stands for a size that is told elsewhere, for what is larger."""

MOST_RATIO, SMALL = 200, 2**20
"""How many times the size of a ZIP its files may have, where they are not small."""


@dataclass(frozen=True)
class _End:
    """What the end of a ZIP says of its directory, and where that should end."""

    entries: int
    length: int
    place: int
    ends_at: int


@dataclass(frozen=True)
class _Entry:
    """A file of a ZIP, as the directory has it."""

    name: str
    is_encrypted: bool
    is_link: bool
    is_compressed: bool
    size: int
    ends_at: int


def check_zip(content: BinaryIO, size: int) -> None:
    """Check the directory of a ZIP (APPNOTE 6.3.10, 4.3): it fits the file, and whoever unpacks it is safe.

    Raises:
        OutputBroken: it is not whole, or has no files.
        OutputUnusable: it has too many files, too large ones, or names that lead out of their folder.
    """
    _checked(content, size)


def check_usdz(content: BinaryIO, size: int) -> None:
    """Check a scene in a ZIP: it is one, and nothing in it is compressed (the USDZ specification, "Layout").

    Raises:
        OutputBroken, OutputUnusable: as for any ZIP.
    """
    if packed := sum(entry.is_compressed for entry in _checked(content, size)):
        raise OutputBroken(f"The USDZ of {size} bytes has {packed} files that are compressed.")


def _checked(content: BinaryIO, size: int) -> Sequence[_Entry]:
    """Return the files of a ZIP that is whole and safe."""
    end = _end(content, size)
    if end is None or end.place + end.length != end.ends_at:
        raise OutputBroken(f"The ZIP of {size} bytes has no directory.")
    if not end.entries:
        raise OutputBroken(f"The ZIP of {size} bytes has no files.")
    if end.entries > MOST_ENTRIES or end.length > LARGEST_DIRECTORY:
        raise OutputUnusable(f"The ZIP was not kept: it has more than {MOST_ENTRIES} files, or very long names.")
    try:
        entries = _entries(read_at(content, end.place, end.length), end.entries)
    except (struct.error, UnicodeError):
        entries = []
    if not entries or any(entry.ends_at > end.place for entry in entries):
        raise OutputBroken(f"The ZIP of {size} bytes has a directory that does not fit it.")
    if why := _refusal(entries, size):
        raise OutputUnusable(f"The ZIP was not kept: {why}.")
    return entries


def _end(content: BinaryIO, size: int) -> _End | None:
    """Read the end record, and the one of 64 bits where its numbers are in that."""
    tail = read_at(content, max(0, size - _LONGEST_END), _LONGEST_END)
    found = tail.rfind(b"PK\5\6")
    if found < 0 or len(tail) - found < 22:
        return None
    entries, length, place, comment = struct.unpack_from("<HIIH", tail, found + 10)
    ends_at = size - len(tail) + found
    if found + 22 + comment != len(tail):
        return None
    if entries < 0xFFFF and max(length, place) < 0xFFFFFFFF:
        return _End(entries, length, place, ends_at)
    if found < 76 or not (tail.startswith(b"PK\6\7", found - 20) and tail.startswith(b"PK\6\6", found - 76)):
        return None
    entries, length, place = struct.unpack_from("<QQQ", tail, found - 76 + 32)
    return _End(entries, length, place, ends_at - 76)


_LONGEST_END = 76 + 22 + 0xFFFF
"""Bytes of the last records: those of 64 bits, the end record and its comment."""


def _entries(directory: bytes, count: int) -> Sequence[_Entry]:
    """Read the directory; none where it has not as many entries as it should.

    Raises:
        struct.error, UnicodeError: it is none.
    """
    entries, place = [], 0
    for _ in range(count):
        magic, system, flags, how, packed, size, name, extra, comment, mode, at = _HEADER.unpack_from(directory, place)
        if magic != b"PK\1\2":
            return []
        text = directory[place + 46 : place + 46 + name].decode("utf-8" if flags & _IS_UTF8 else "cp437")
        is_link = system == _UNIX and mode & _KIND == _LINK
        entries.append(_Entry(text, bool(flags & _IS_ENCRYPTED), is_link, how != 0, size, at + 30 + name + packed))
        place += 46 + name + extra + comment
    return entries if place == len(directory) else []


_HEADER = struct.Struct("<4sxBxxHHxxxxxxxxIIHHHxxxxxxHI")
_IS_ENCRYPTED, _IS_UTF8 = 1 | 1 << 6 | 1 << 13, 1 << 11
_UNIX, _KIND, _LINK = 3, 0o170000, 0o120000


def _refusal(entries: Sequence[_Entry], size: int) -> str | None:
    """Say why nobody should unpack these files, without their names; None where all is well."""
    unpacked = sum(entry.size for entry in entries)
    if unpacked > LARGEST_UNPACKED or unpacked > max(MOST_RATIO * size, SMALL):
        return f"its {size} bytes unpack to {unpacked}"
    if any(entry.is_encrypted or entry.is_link for entry in entries):
        return "a file of it is encrypted, or a link"
    return None if all(_is_safe(entry.name) for entry in entries) else "a name in it leads out of its folder"


def _is_safe(name: str) -> bool:
    is_relative = not name.startswith("/") and name[1:2] != ":" and "\\" not in name
    return is_relative and name.isprintable() and name != "" and ".." not in name.split("/")
