"""Where a host is, within a time: a resolver keeps no deadline and can't be told to stop, so threads wait for it."""

import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from time import monotonic

MOST_LOOKUPS = 16
"""At a time: one that hangs keeps its thread until it ends."""

Asked = tuple[str, int, Future[Sequence[str]]]
"""A host, a port, and where its addresses go."""


class Resolver:
    """Looks names up in threads that stay for the next one: to start one takes longer than most look-ups do."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a process that was forked has none of its parent's threads."""
        self._free = threading.BoundedSemaphore(MOST_LOOKUPS)
        self._idle = threading.Semaphore(0)
        self._asked: SimpleQueue[Asked] = SimpleQueue()

    def addresses(self, host: str, port: int, within: float) -> Sequence[str]:
        """Return where a host is, one address at least; ``within`` is in seconds.

        Raises:
            TimeoutError: it was not found in time.
            OSError: it has no address, or there is no thread to look in.
        """
        ends_at = monotonic() + within
        if not self._free.acquire(timeout=within):
            raise TimeoutError("too many look-ups of names hang")
        found: Future[Sequence[str]] = Future()
        self._have_thread()
        self._asked.put((host, port, found))
        try:
            return found.result(max(0.0, ends_at - monotonic()))
        except TimeoutError:
            raise TimeoutError("the host's name was not resolved in time") from None
        except UnicodeError:
            raise OSError("the host's name is none") from None
        finally:
            del found  # Its error knows of this call, and of the photo that was to be sent.

    def _have_thread(self) -> None:
        """Make sure that a thread waits for this look-up."""
        if self._idle.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._look_up, name="resolve", daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise OSError("no thread for the look-up of a name") from None

    def _look_up(self) -> None:
        while True:
            host, port, found = self._asked.get()
            try:
                found.set_result(_addresses(host, port))
            except BaseException as error:
                found.set_exception(error)
            del found  # Else it is kept until the next look-up.
            self._idle.release()
            self._free.release()


def _addresses(host: str, port: int) -> Sequence[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(each[4][0]) for each in answers))
    if not found:
        raise OSError("the host has no address")
    return found


resolver = Resolver()
"""The process's."""

os.register_at_fork(after_in_child=resolver.forget)
