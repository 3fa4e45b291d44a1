"""Pure: what the vendor says to people, without what it may quote itself: an address, an image, the prompt, a key."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from unicodedata import normalize

READ = 2_000
"""Characters that are looked at: no pattern is tried on more."""

TOLD = 300
"""Characters that are shown at most."""

SAYS = "The vendor says:"
"""What a sentence of ours goes on with where it quotes the vendor."""

_TELLING = 12
"""Characters in a row that give a prompt away, also where it is quoted in part."""

_HIDDEN = re.compile(
    r"(?<!\S)\S*?(?:://|:\\/\\/|%3a%2f%2f)\S*"  # An address, escaped or not.
    r"|\bdata:\S+"
    r"|(?<!\S)[^\s?]*+\?[^\s=]*+=\S*"  # One without its scheme: what is signed is after the question mark.
    r"|[\w.-]{1,200}\.\w{1,63}(?::\d{1,5})?/\S*"  # A host and a path.
    r"|(?<!\S)\S+?(?:@|%40)\S+"
    r"|\bSG_\w+"
    r"|[A-Za-z0-9+/=_-]{40,}",  # An image, a key, a signature: no sentence has such a word.
    re.IGNORECASE,
)


def quoted(text: str | None, parameters: Mapping[str, Any]) -> str:
    """Return a sentence of the vendor's as it may be shown, one line; empty where it says nothing.

    For example "no 'a red cup' in https://x/y?sig=1" of the prompt "a red cup" becomes "no '…' in …".
    """
    line = _one_line((text or "")[:READ])
    shown = _HIDDEN.sub("…", _without_prompt(line, _one_line(str(parameters.get("prompt") or ""))))
    return re.sub(r"…(?:\s*…)+", "…", shown)[:TOLD]


def why_failed(said: str | None, parameters: Mapping[str, Any]) -> str:
    """Say that a run failed, with the vendor's reason."""
    return f"The run failed and was not charged. {SAYS} {quoted(said, parameters) or 'nothing'}"


def unquoted(message: str) -> str:
    """Return what a sentence says without the vendor's words, for the log."""
    return message.partition(f" {SAYS}")[0]


def _one_line(text: str) -> str:
    """Keep what can be printed, in one writing, with one blank between words."""
    blank = "".join(character if character.isprintable() else " " * character.isspace() for character in text)
    return normalize("NFC", " ".join(_ESCAPED_BLANK.sub(" ", blank).split()))


_ESCAPED_BLANK = re.compile(r"\\[nrt]")


def _without_prompt(line: str, prompt: str) -> str:
    """Leave out the prompt, and longer parts of it, in whatever case, also where blanks came into its words."""
    lowered, wanted = _lowered(line), _lowered(prompt)
    spans = [*_told(lowered, wanted), *_told_apart(lowered, wanted)]
    hidden = {index for start, end in spans for index in range(start, end)}
    return "".join("…" if index in hidden else character for index, character in enumerate(line))


def _lowered(text: str) -> str:
    """Lower a text, character by character, so that it keeps its length."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def _told(line: str, prompt: str) -> Iterator[tuple[int, int]]:
    """Give the parts of a line that tell the prompt, or a part of it that is long enough."""
    if not prompt:
        return
    whole = re.escape(prompt)
    # A word of a letter or two is in many others.
    pattern = whole if len(prompt) > _SHORT else rf"(?<![a-z0-9]){whole}(?![a-z0-9])"
    yield from (found.span() for found in re.finditer(pattern, line))
    parts = _parts(prompt)
    for start in range(len(line) - _TELLING + 1):
        if line[start : start + _TELLING] in parts:
            yield start, start + _TELLING


@lru_cache(2)  # A body has some thousand texts, all of one job.
def _parts(prompt: str) -> frozenset[str]:
    return frozenset(prompt[start : start + _TELLING] for start in range(len(prompt) - _TELLING + 1))


def _told_apart(line: str, prompt: str) -> Iterator[tuple[int, int]]:
    """Give the same of a line whose words were broken or joined: blanks and backslashes do not count."""
    counted = [index for index, character in enumerate(line) if character not in _BETWEEN]
    dense, wanted = ("".join(each for each in text if each not in _BETWEEN) for text in (line, prompt))
    if len(wanted) > _SHORT:
        yield from ((counted[start], counted[end - 1] + 1) for start, end in _told(dense, wanted))


_SHORT = 2
_BETWEEN = {" ", "\\"}
