"""Pure: a link to a file: what it says, how it is signed, and whether one that came is ours and still holds."""

import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST_KEY = 32
"""Bytes of a key that signs, the length of a signature."""

_PATH = re.compile(r"/files/([0-9a-f]{64})/([A-Za-z0-9][A-Za-z0-9._-]{0,127})")
_QUERY = re.compile(r"output=([1-9][0-9]{0,18})&expires=([1-9][0-9]{0,11})&key=([0-9a-f]{8})&signature=([0-9a-f]{64})")


@dataclass(frozen=True)
class Target:
    """What a link leads to: an output, by the number of its row, and what that must still be."""

    output_id: int
    sha256: str
    name: str


class Signer:
    """Signs links with the first of its keys, and knows those that any of them signed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_digest(key, "the name of this key")[:8]: key for key in reversed(keys)}
        self._newest = _digest(keys[0], "the name of this key")[:8]

    def sign(self, target: Target, expires: int) -> str:
        """Return a link's path and query; ``expires`` is in seconds since 1970."""
        path = f"/files/{target.sha256}/{target.name}"
        query = f"output={target.output_id}&expires={expires}&key={self._newest}"
        return f"{path}?{query}&signature={_signature(self._keys[self._newest], path, query)}"

    def verified(self, path: str, query: str, now: float) -> Target | None:
        """Return what a link leads to; None for one that is not ours, was changed, or has expired.

        Both are taken as they came: what does not look just as it was made is nobody's link.
        """
        place, said = _PATH.fullmatch(path), _QUERY.fullmatch(query)
        if not place or not said or not (key := self._keys.get(said[3])):
            return None
        signed = query.rpartition("&")[0]
        if not hmac.compare_digest(_signature(key, path, signed), said[4]) or now >= int(said[2]):
            return None
        return Target(int(said[1]), place[1], place[2])


def can_be_named(name: str) -> bool:
    """Tell whether a file's name can stand in a link as it is."""
    return bool(_PATH.fullmatch(f"/files/{'0' * 64}/{name}"))


def _signature(key: bytes, path: str, query: str) -> str:
    return _digest(key, json.dumps(["GET", path, query]))


def _digest(key: bytes, said: str) -> str:
    return hmac.digest(key, said.encode(), "sha256").hex()
