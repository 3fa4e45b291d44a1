"""Look-ups of names: their threads, and a process that is forked."""

import gc
import socket
import subprocess
import sys
import threading
import weakref
from contextlib import suppress

import pytest

from worker.resolver import MOST_LOOKUPS, Resolver


def test_look_ups_one_after_another_share_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """To start one for each takes longer than to look up."""
    threads = set()

    def look_up(*_: object, **__: object) -> object:
        threads.add(threading.current_thread())
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver = Resolver()
    assert resolver.addresses("name.example", 443, 30) == ["192.0.2.1"]
    for _ in range(50):
        resolver.addresses("name.example", 443, 30)
        assert resolver._idle.acquire(timeout=30)  # It waits for the next one.
        resolver._idle.release()
    assert len(threads) == 1


def test_many_at_once_have_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs keeps nobody else from an answer."""
    together = threading.Barrier(MOST_LOOKUPS)

    def look_up(*_: object, **__: object) -> object:
        together.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    resolver, found = Resolver(), list[object]()
    for _ in range(3):
        askers = [
            threading.Thread(target=lambda: found.append(resolver.addresses("name.example", 443, 30)))
            for _ in range(MOST_LOOKUPS)
        ]
        for each in askers:
            each.start()
        for each in askers:
            each.join()
    assert found == [["192.0.2.1"]] * MOST_LOOKUPS * 3
    assert sum(each.name == "resolve" for each in threading.enumerate()) >= MOST_LOOKUPS


@pytest.mark.parametrize("error", [OSError(), UnicodeError(), socket.gaierror()])
def test_a_look_up_that_fails_leaves_its_thread_to_the_next(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Whatever the system's resolver raises."""

    def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    resolver = Resolver()
    for _ in range(MOST_LOOKUPS + 1):
        with pytest.raises(OSError):  # noqa: PT011
            resolver.addresses("name.example", 443, 30)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    with pytest.raises(OSError, match="no address"):
        resolver.addresses("name.example", 443, 30)


class Photo:
    """Can be watched."""


def test_a_look_up_that_failed_keeps_nothing_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was to be sent is megabytes, and the next look-up may be hours away."""

    def fail(*_: object, **__: object) -> object:
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    resolver, photos = Resolver(), weakref.WeakSet[Photo]()

    def send(photo: Photo) -> None:
        photos.add(photo)
        with suppress(OSError):
            resolver.addresses("name.example", 443, 30)

    gc.disable()
    try:
        send(Photo())
        assert resolver._idle.acquire(timeout=30)
        assert len(photos) == 0
    finally:
        gc.enable()


def test_a_process_that_was_forked_looks_up_as_well() -> None:
    """A server that loads the client and forks then has none of the threads that waited in its parent."""
    script = """
import os, sys
from worker.resolver import resolver
resolver.addresses("127.0.0.1", 80, 30)
assert resolver._idle.acquire(timeout=30)
resolver._idle.release()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(resolver.addresses("127.0.0.1", 80, 5) != ["127.0.0.1"])
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
