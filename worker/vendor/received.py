"""Pure: an answer as it came over the wire, with its words for people and the times that its headers give."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from worker.rules.untrusted import DOCUMENT, read_json


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that was read whole, within its cap."""

    code: int
    body: bytes = field(repr=False)
    reset_at: datetime | None = None
    dated_at: datetime | None = None
    credits_left: float | None = None

    def parsed(self) -> Mapping[str, Any] | None:
        """Return the body if it is a JSON object."""
        return self._parsed

    @cached_property
    def _parsed(self) -> Mapping[str, Any] | None:
        try:
            value = read_json(self.body, DOCUMENT)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    @property
    def said(self) -> str | None:
        """Return the vendor's own words for people, which may quote anything."""
        body = self.parsed() or {}
        words = [body[name][:_MOST_SAID] for name in _SAID_IN if isinstance(body.get(name), str)]
        return ": ".join(words)[:_MOST_SAID] or None

    @property
    def message(self) -> str:
        """Return its ``error`` sentence in lower case, with one blank between words, for telling meanings apart."""
        sentence = (self.parsed() or {}).get("error")
        return " ".join(sentence[:_MOST_SAID].lower().split()) if isinstance(sentence, str) else ""


def read_answer(code: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Make an answer of its body and the times and numbers in its headers."""
    reset_at, credits_left = headers.get("x-rate-limit-reset-at-utc"), headers.get("x-remaining-credits")
    return Answer(code, body, read_reset(reset_at), read_date(headers.get("date")), read_credits(credits_left))


def without_key(body: bytes, key: str) -> bytes:
    """Return a body that does not quote the key it was asked for with: answers are kept, and shown in part."""
    return body.replace(key.encode(), b"SG_") if len(key) >= SHORTEST_KEY else body


SHORTEST_KEY = 8
"""Characters of what can be a key; a shorter one is in many a text."""

_SAID_IN = ("error", "error_description", "message", "detail")
_MOST_SAID = 2_000


LONGEST_TIME = 64
"""Characters of a time, in whatever form: a longer text is not looked at."""


def read_credits(text: str | None) -> float | None:
    """Read the header that may say what is left of the credits, USD; anything else is None."""
    return float(text) if text and len(text) <= LONGEST_NUMBER and _NUMBER.fullmatch(text) else None


LONGEST_NUMBER = 16
"""Characters of a number of credits."""


def read_date(text: str | None) -> datetime | None:
    """Read the header that says when an answer was given, by the vendor's clock; anything else is None."""
    try:
        parsed = parsedate_to_datetime(text if text and len(text) <= LONGEST_TIME else "")
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo and _is_of_our_time(parsed) else None


def read_reset(text: str | None) -> datetime | None:
    """Read the header of a 429: ISO 8601 or seconds since the epoch; anything else is None."""
    try:
        if text and len(text) <= LONGEST_TIME and _NUMBER.fullmatch(text):
            read = datetime.fromtimestamp(float(text) / (1000 if float(text) > 1e11 else 1), UTC)
            return read if _is_of_our_time(read) else None
    except (ValueError, OverflowError, OSError):
        return None
    parsed = read_time(text)
    return parsed if parsed is None or parsed.tzinfo else parsed.replace(tzinfo=UTC)


_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


def read_time(text: object) -> datetime | None:
    """Read a time in ISO 8601, without a zone where it gives none; anything else is None."""
    if not isinstance(text, str) or len(text) > LONGEST_TIME:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if _is_of_our_time(parsed) else None


def _is_of_our_time(moment: datetime) -> bool:
    """Tell a time that can be reckoned with: none near the ends of what a date can say."""
    return 2000 < moment.year < 3000
