"""The threads of a worker: a slot for each step at a time, and a few beside them that accept requests."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

from celery.concurrency.base import apply_target
from celery.concurrency.thread import ApplyResult, TaskPool  # type: ignore[attr-defined]  # The stubs lack the first.

from worker.broker.topology import AHEAD
from worker.intake.admission import SENT

TURNS = 4
"""Steps that wait in the process for each of its slots, as long as one does where nothing waits for the vendor.

A message to oneself is more than a tenth of a job. Those that wait here when a process is killed, the sweep finds.
"""

START_SECONDS = 30.0
"""How long a thread waits for all others to have started."""

_apply: Callable[..., object] = apply_target


class Accepting(TaskPool):
    """The threads that accept requests, each of which may be of 16 MiB: few wait, however often a broker gives them.

    Those that wait when its connection is lost come again over the next, and are let go as soon as the first does.
    """

    executor: ThreadPoolExecutor

    def __init__(self) -> None:
        super().__init__(AHEAD)
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_lost = False

    def flush(self) -> None:
        """Take in that the connection is lost over which came what waits."""
        self._is_lost = True

    def on_apply(self, *task: Any, callback: Any = None, accept_callback: Any = None, **_: Any) -> Any:
        """Have a request accepted as soon as a thread is free."""
        if self._is_lost:
            self._waiting.clear()
            self._is_lost = False
        self._waiting.append(partial(_apply, *task, callback, accept_callback))
        return ApplyResult(self.executor.submit(self._next))

    def _next(self) -> None:
        try:
            accept = self._waiting.popleft()
        except IndexError:  # It was let go.
            return
        accept()


class Threads(TaskPool):
    """Runs each task on a thread, and has Celery look it up in the worker's app, not in the process's default one.

    Requests have threads of their own: a sender hears soon that his is accepted, however long the slots wait for the
    vendor.
    """

    app: Any
    executor: ThreadPoolExecutor

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._accepting = Accepting()
        self._is_closed = False

    def on_start(self) -> None:
        """Have all threads started, and let what was accepted go on in a slot."""
        _start_all(self.executor, self.limit)
        _start_all(self._accepting.executor, AHEAD)
        self.app.services.next_up.open(self.executor.submit, TURNS * self.limit)

    def on_apply(self, target: Any, args: Any = None, kwargs: Any = None, *more: Any, **named: Any) -> Any:
        """Start a task; not in a worker that ends, whose messages go to another with its connection."""
        if self._is_closed:
            return None
        start = self._accepting.on_apply if args and args[0] in SENT else super().on_apply
        return start(target, args, {**(kwargs or {}), "app": self.app}, *more, **named)

    def flush(self) -> None:
        """Take in that the connection to the broker is lost, of which Celery tells."""
        self._accepting.flush()

    def on_close(self) -> None:
        """Leave what has not begun to others: the worker ends, however long its connections take for that."""
        self._is_closed = True
        self.app.services.next_up.close()
        for each in (self.executor, self._accepting.executor):
            each.shutdown(wait=False, cancel_futures=True)

    def on_stop(self) -> None:
        """Let the tasks that run finish."""
        self.on_close()
        self._accepting.on_stop()
        super().on_stop()


def _start_all(executor: ThreadPoolExecutor, threads: int) -> None:
    """Start the threads of an executor, which would start each with a task that finds none free.

    A process that may not have so many ends before it has a message in hand: one that came in then would be put aside.

    Raises:
        RuntimeError: the process may not have so many.
    """
    all_here = Barrier(threads)
    for each in [executor.submit(all_here.wait, START_SECONDS) for _ in range(threads)]:
        each.result()
