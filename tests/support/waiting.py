"""How tests wait: on a condition, with a generous limit, and a word for what did not come."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], what: str, within: float = 60.0) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it did not within the limit.
    """
    ends_at = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends_at, f"did not happen within {within:.0f} s: {what}"
        time.sleep(0.05)
