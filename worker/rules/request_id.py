"""Pure: the vendor's id of a run, which has several writings."""

import re
from uuid import UUID

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_BARE = re.compile(r"[0-9a-fA-F]{32}")


def is_request_id(value: object) -> bool:
    """Tell whether this can be an id of the vendor's, safe to be put into an address."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def canonical_id(text: str) -> str:
    """Return what two writings of one request id have in common: the vendor was seen to leave out the dashes."""
    return text.replace("-", "").lower()


def written_like(request_id: str, answered: str | None) -> str:
    """Return an id as the API writes it, given one that a submit was answered with: other hosts may leave dashes out.

    Where none was answered yet it is a UUID with dashes (its documentation).
    """
    bare = request_id.replace("-", "")
    if not _BARE.fullmatch(bare):
        return request_id
    return bare if answered and "-" not in answered else str(UUID(bare))
