"""Pure: what others wrote, as a person may read it on a terminal: nothing in it steers that, turns it or hides."""

import re
from functools import lru_cache

_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that count as printable and leave nothing to see: fillers, joiners, selectors of variants."""


def legible(text: str, *, keep: str = "") -> str:
    r"""Write what steers a terminal, or can't be seen, by its number: ``\x1b``, ``\u202e``, ``\n``."""
    return "".join(each if each in keep else _written(each) for each in text)


@lru_cache(2**12)
def _written(character: str) -> str:
    is_seen = character.isprintable() and not _BLANK.match(character)
    return character if is_seen else character.encode("unicode_escape").decode()
