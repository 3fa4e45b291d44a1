"""The one simulated account: keys, credit balance, request rate. Pure; the time is a parameter."""

import re
from datetime import UTC, datetime

_KEY = re.compile(r"SG_[0-9a-fA-F]{16}")


def key_problem(key: str | None, revoked: tuple[str, ...]) -> str | None:
    """Return why a key is refused, or none if it is good."""
    if not key:
        return "API key is missing"
    if not _KEY.fullmatch(key) or key in revoked:
        return "API key is invalid or has been revoked"
    return None


class Balance:
    """Credits. A run that will complete takes its cost when it is accepted: no credit is promised twice."""

    def __init__(self, credits_left: float) -> None:
        self.credits_left = credits_left

    def covers(self, cost: float) -> bool:
        """Return whether one more run can be paid."""
        return self.credits_left + 1e-9 >= cost

    def take(self, cost: float) -> float:
        """Take a run's cost and return what is left."""
        self.credits_left = round(self.credits_left - cost, 6)
        return self.credits_left


class RateWindow:
    """Counts requests in fixed windows of one minute."""

    def __init__(self) -> None:
        self._minute = -1
        self._count = 0

    def admits(self, now: datetime, limit: int | None) -> bool:
        """Count one request and return whether it is within the limit."""
        minute = int(now.timestamp() // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        if limit is not None and self._count >= limit:
            return False
        self._count += 1
        return True


def window_ends_at(now: datetime) -> datetime:
    """Return when the current minute's window ends."""
    return datetime.fromtimestamp((now.timestamp() // 60 + 1) * 60, UTC)


def reset_value(form: str, resets_at: datetime) -> str | None:
    """Return the reset header's value in one of the forms that are worth being ready for."""
    forms = {
        "iso": resets_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "epoch": str(int(resets_at.timestamp())),
        "nonsense": "soon",
    }
    return forms.get(form)
