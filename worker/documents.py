"""Pure: a JSON document of somebody else's, which may not have more parts than a process can hold."""

import json

MOST_PARTS = 500_000
"""Of one document: an empty list has two bytes there and sixty here, so it is their number that counts."""


def read_document(body: bytes, most_parts: int = MOST_PARTS) -> object:
    """Read JSON; its parts are counted first, by the characters that begin or divide them.

    Raises:
        ValueError: it is none, or has too many parts, or too deep ones.
    """
    if sum(map(body.count, (b"{", b"[", b","))) > most_parts:
        raise ValueError("it has too many parts")
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
