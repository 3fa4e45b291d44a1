"""How much a process has in hand: bytes of photos that it reads and sends, and what waits for one of its slots."""

import ctypes
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SMALL = 2**19
"""Bytes that are not worth waiting for."""

READ = 16 * 2**20
"""Bytes of messages that photos are made of at once: one of the largest. Each takes three times its size meanwhile."""

SENT = 96 * 2**20
"""Bytes of photos that are under way to the vendor at once: nine of the largest."""

BEAT_SECONDS = 1.0
"""How often who waits shows that he lives."""


def give_back_memory() -> None:
    """Have the C library give a large block back as soon as it is free, where it is glibc.

    By itself it learns from the first large photo to keep such blocks, for each thread its own.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, SMALL)


_M_MMAP_THRESHOLD = -3
"""``malloc.h``."""


class Room:
    """Lets in as many bytes as there is room for; who waits goes in by order of arrival."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._changed = threading.Condition()
        self._queue: list[object] = []

    @contextmanager
    def taken(self, size: int, while_waiting: Callable[[], None] = lambda: None) -> Iterator[Callable[[int], None]]:
        """Wait until so many bytes fit in; ``while_waiting`` is called each ``BEAT_SECONDS``.

        Gives a function that says how many bytes it is in the end, where that was not known before.
        """
        counted = 0 if size <= SMALL else min(size, self._size)
        if counted:
            self._enter(counted, while_waiting)

        def keep(size: int) -> None:
            nonlocal counted
            counted -= self._leave(max(0, counted - size))

        try:
            yield keep
        finally:
            self._leave(counted)

    def _leave(self, size: int) -> int:
        with self._changed:
            self._free += size
            self._changed.notify_all()
        return size

    def _enter(self, size: int, while_waiting: Callable[[], None]) -> None:
        place = object()
        with self._changed:
            self._queue.append(place)
            try:
                while not self._changed.wait_for(lambda: self._queue[0] is place and size <= self._free, BEAT_SECONDS):
                    while_waiting()
                self._free -= size
            finally:
                self._queue.remove(place)
                self._changed.notify_all()


Act = Callable[[], None]


class NextUp:
    """What a process does next without a message to itself; nothing waits for a slot where it has none."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[Act, Act]] = deque()
        self._start: Callable[[Act], object] | None = None
        self._most = 0

    def open(self, start: Callable[[Act], object], most: int) -> None:
        """Have what is taken from now on started in a slot as soon as one is free; so much may wait for that."""
        self._start, self._most = start, most

    def take(self, act: Act, instead: Act) -> bool:
        """Take what is to be done; return False where as much waits as may.

        ``instead`` is done in its place if the process ends before it has a slot.
        """
        with self._guard:
            if self._start is None or len(self._waiting) >= self._most:
                return False
            self._waiting.append((act, instead))
            self._start(self._next)
            return True

    def _next(self) -> None:
        with self._guard:
            if not self._waiting:  # It was closed.
                return
            act, _ = self._waiting.popleft()
        act()

    def close(self) -> None:
        """Take nothing more, and do in its place what is to be done for each that waits still."""
        with self._guard:
            left = [instead for _, instead in self._waiting]
            self._waiting.clear()
            self._start = None
        for instead in left:
            instead()
