"""Pure: the fingerprint: what two requests share that ask for the same."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return what requests of the same content share: everything that was asked but for the identity."""
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def raw_fingerprint(fields: Mapping[str, Any], job_id: str) -> str:
    """Return what tells a request that can't be read from another; one too deep to be written is all the same."""
    try:
        text = json.dumps({name: _short(each) for name, each in fields.items()}, sort_keys=True, default=str)
    except RecursionError:
        text = job_id
    return _digest(text)


def _short(value: object) -> object:
    """Return a long text by its digest: a photo is not written as a whole once more."""
    return _digest(value) if isinstance(value, str) and len(value) > LONG_TEXT else value


LONG_TEXT = 2**16


def _digest(text: str) -> str:
    digest = sha256()
    for start in range(0, len(text), LONG_TEXT):  # At once, a long one would be copied.
        digest.update(text[start : start + LONG_TEXT].encode("utf-8", "replace"))
    return digest.hexdigest()
