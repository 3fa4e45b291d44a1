"""Pure: what the vendor said of a run, word for word: as it is kept with its job, and as a person is shown it.

Kept is what any database takes, within bounds, without a key or a photo. Shown is that without what may be quoted.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from worker.vendor.quoting import quoted

KEPT_BYTES = 64 * 2**10
"""Of a body, as JSON in UTF-8."""

LONGEST_TEXT = 4096
"""Characters of a text in it: an address is no longer."""

LEAST, SAFE = 1e-9, 2**53
"""Numbers between them are the same to every reader of JSON, and short; any other is kept as a text."""

CUT = "…"
"""Stands for what is not kept, or not shown."""

_UNFIT = re.compile("[\0\ud800-\udfff]")
"""Characters that no text of PostgreSQL has."""

SHORTEST_PHOTO = 600
"""Characters of base64 that may be a photo."""

_NOBODYS = re.compile(
    rf"\bSG_\w+|data:[^\s,]{{0,100}},\S*|(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{SHORTEST_PHOTO},}}+={{0,2}}",
    re.IGNORECASE,
)
"""A key and a photo: the one is not the job's, the other goes when its job has ended."""

_PHOTOS = {"image", "mask"}
_ECHOED = {*_PHOTOS, "prompt", "input", "inputs", "parameters", "request_body"}
"""Names of what repeats what was sent."""


def kept(body: Mapping[str, Any] | Sequence[Any], said_by: str) -> Mapping[str, Any]:
    """Return what is kept of a body, and whether that is all of it; ``said_by`` is ``result`` or ``history``.

    For example ``{"said_by": "result", "is_cut": false, "body": {"status": "COMPLETED", …}}``.
    """
    clean = _clean(body)
    is_cut = _size(clean) > KEPT_BYTES
    return {"said_by": said_by, "is_cut": is_cut, "body": _within(clean, KEPT_BYTES) if is_cut else clean}


def _clean(value: object) -> Any:
    """Return a value as every reader of JSON has it; what is nested deeper than that goes is no answer at all."""
    match value:
        case dict():
            return {_text(name): CUT if _is_photo(name, each) else _clean(each) for name, each in value.items()}
        case list() | tuple():
            return [_clean(each) for each in value]
        case str():
            return _text(value)
        case bool() | None:
            return value
        case int() | float():
            return _number(value)
    return CUT


def _is_photo(name: str, value: object) -> bool:
    is_address = isinstance(value, str) and value.startswith(("http://", "https://"))
    return name.lower() in _PHOTOS and value is not None and not is_address


def _number(value: int | float) -> int | float | str:
    """Return a number, as a text where readers differ; one that Python would not even write is told by its size."""
    if value == 0 or LEAST < abs(value) < SAFE:
        return value
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        return f"{CUT} a number of {value.bit_length()} bits"
    return repr(value)


_LONGEST_NUMBER = 4096
"""Bits of a number that is written out."""


def _text(value: str) -> str:
    if _is_plain(value):
        return value
    shown = value if len(value) <= LONGEST_TEXT else f"{value[:LONGEST_TEXT]}{CUT} of {len(value)} characters"
    return _NOBODYS.sub(CUT, _UNFIT.sub("\N{REPLACEMENT CHARACTER}", shown))


def _is_plain(text: str) -> bool:
    """Tell what nearly all texts are: ASCII, shorter than a photo, and without what a key or a data URI begins with."""
    is_short = len(text) < SHORTEST_PHOTO and text.isascii() and "\0" not in text
    return is_short and "sg_" not in (lower := text.lower()) and "data:" not in lower


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _within(value: Any, room: int) -> Any:
    """Return what fits of a value, with a mark where something is left out; never more than ``room`` bytes."""
    if _size(value) <= room:
        return value
    match value:
        case dict():
            return _members_within(value, room)
        case list():
            return _items_within(value, room)
    return CUT


_MARK, _AROUND = 64, 4
"""Bytes that a mark takes at most, and what is around a value."""


def _members_within(value: Mapping[str, Any], room: int) -> Mapping[str, Any]:
    """Keep texts and numbers first, then what is small: it says the most for its room."""
    made: dict[str, Any] = {}
    left = room - _MARK
    for name, each in sorted(value.items(), key=lambda item: (isinstance(item[1], dict | list), _size(item[1]))):
        fitting = _within(each, left - _size(name) - _AROUND)
        if (taken := _size({name: fitting})) > left:
            break
        made[name] = fitting
        left -= taken
    return made if len(made) == len(value) else {**made, CUT: f"{len(value) - len(made)} more"}


def _items_within(value: Sequence[Any], room: int) -> Sequence[Any]:
    """Keep the first."""
    made: list[Any] = []
    left = room - _MARK
    for each in value:
        fitting = _within(each, left - _AROUND)
        if fitting is CUT or (taken := _size(fitting) + _AROUND) > left:
            break
        made.append(fitting)
        left -= taken
    return made if len(made) == len(value) else [*made, f"{CUT} {len(value) - len(made)} more"]


def shown(said: Mapping[str, Any], parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was kept as a person is shown it: without addresses, and what may quote the photo or the prompt."""
    return {**said, "body": _unquoted(said["body"], parameters)}


def _unquoted(value: Any, parameters: Mapping[str, Any]) -> Any:
    match value:
        case dict():
            return {
                quoted(name, parameters): CUT if name.lower() in _ECHOED else _unquoted(each, parameters)
                for name, each in value.items()
            }
        case list():
            return [_unquoted(each, parameters) for each in value]
        case str():
            return quoted(value, parameters)
    return value
