"""Pure: an answer as it came over the wire, with its words for people and the times that its headers give."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that was read whole, within its cap."""

    code: int
    body: bytes = field(repr=False)
    reset_at: datetime | None = None
    dated_at: datetime | None = None

    def parsed(self) -> Mapping[str, Any] | None:
        """Return the body if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def said(self) -> str | None:
        """Return the vendor's own words for people, which may quote anything."""
        body = self.parsed() or {}
        words = [body[name] for name in _SAID_IN if isinstance(body.get(name), str)]
        return ": ".join(words)[:_MOST_SAID] or None

    @property
    def message(self) -> str:
        """Return its ``error`` sentence in lower case, with one blank between words, for telling meanings apart."""
        sentence = (self.parsed() or {}).get("error")
        return " ".join(sentence[:_MOST_SAID].lower().split()) if isinstance(sentence, str) else ""


_SAID_IN = ("error", "error_description", "message", "detail")
_MOST_SAID = 2_000


def read_date(text: str | None) -> datetime | None:
    """Read the header that says when an answer was given, by the vendor's clock; anything else is None."""
    try:
        parsed = parsedate_to_datetime(text or "")
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo and 2000 < parsed.year < 3000 else None


def read_reset(text: str | None) -> datetime | None:
    """Read the header of a 429: ISO 8601 or seconds since the epoch; anything else is None."""
    if not text:
        return None
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text) / (1000 if float(text) > 1e11 else 1), UTC)
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
