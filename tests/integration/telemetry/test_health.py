"""Who is slow or silent holds up no probe."""

import threading
from collections.abc import Callable

import pytest

from tests.support.probing import GET, PATIENT_SECONDS, all_of, connected, start
from worker.telemetry import health

__all__ = ["start"]


def test_a_request_that_comes_byte_by_byte_ends(start: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is counted as a whole, however lively it is."""
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.5)
    with connected(start()) as [slow]:
        slow.settimeout(0.05)
        for byte in range(int(PATIENT_SECONDS / 0.05)):
            try:
                slow.sendall(GET[byte % 10 :][:1])
                if slow.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
    raise AssertionError("it goes on for ever")


def test_who_says_nothing_holds_nobody_up(start: Callable[..., int]) -> None:
    """However many they are, they cost no thread each, and a probe is answered."""
    port, before = start(), threading.active_count()
    with connected(port, b"GET /read", many=3 * health.MOST_CONNECTIONS) as silent, connected(port, GET) as [probe]:
        assert all_of(probe).startswith(b"HTTP/1.1 200 OK")
        assert threading.active_count() <= before + 1
        assert all_of(silent[0]) == b"", "the oldest had to go"
