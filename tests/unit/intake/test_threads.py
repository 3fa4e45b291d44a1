"""A worker's threads: what they are told with each task, and which of them have it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.trace import trace_task_ret

from worker.broker.topology import AHEAD, RECONSTRUCT_TASK
from worker.intake import threads as threads_module
from worker.intake.threads import TURNS, Threads
from worker.work.room import NextUp

APP: Any = SimpleNamespace(services=SimpleNamespace(next_up=NextUp()))
STEP = "sam3d.submit"


@pytest.fixture
def pool() -> Iterator[Threads]:
    """Provide a worker's threads, with one slot."""
    threads = Threads(1, app=APP)
    threads.on_start()
    yield threads
    threads.stop()


def apply(pool: Threads, task: str, act: Callable[..., object]) -> Any:
    """Give a pool a task, as Celery does."""
    return pool.on_apply(act, (task,), callback=lambda _: None, accept_callback=lambda *_: None)


def test_a_worker_that_may_not_have_its_threads_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that learnt of it from a message would put that aside."""
    pool, begun = Threads(3, app=APP), list[threading.Thread]()
    start = threading.Thread.start

    def start_few(thread: threading.Thread) -> None:
        if len(begun) == 3 + AHEAD - 1:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threads_module, "START_SECONDS", 0.1)
    monkeypatch.setattr(threading.Thread, "start", start_few)
    with pytest.raises(RuntimeError):
        pool.on_start()
    pool.stop()


def test_a_task_is_looked_up_in_the_app_of_its_worker(pool: Threads) -> None:
    """Celery's tracer would look in the default app of the process, which may be anybody's."""
    seen: dict[str, object] = {}
    apply(pool, STEP, lambda *_, **more: seen.update(more)).wait(10)
    assert seen == {"app": APP}
    assert "app" in signature(trace_task_ret).parameters


def test_a_request_waits_for_no_slot(pool: Threads) -> None:
    """Though a step waits for the vendor, and others for it."""
    may_go = threading.Event()
    steps = [apply(pool, STEP, lambda *_, **__: may_go.wait(30)) for _ in range(3)]
    accepted = Future[bool]()
    apply(pool, RECONSTRUCT_TASK, lambda *_, **__: accepted.set_result(True))
    assert accepted.result(30)
    may_go.set()
    for each in steps:
        each.wait(30)


@pytest.mark.parametrize("comes_again", [True, False])
def test_requests_of_a_lost_connection_wait_until_one_comes_again(pool: Threads, comes_again: bool) -> None:
    """However often a broker is lost while none is accepted, few are in hand; one that forgot them gives none again."""
    accepted: list[str] = []
    may_go = threading.Event()
    running = [apply(pool, RECONSTRUCT_TASK, lambda *_, **__: may_go.wait(30)) for _ in range(AHEAD)]
    waiting = [apply(pool, RECONSTRUCT_TASK, lambda *_, **__: accepted.append("waits")) for _ in range(AHEAD)]
    pool.flush()
    if comes_again:
        waiting += [apply(pool, RECONSTRUCT_TASK, lambda *_, **__: accepted.append("comes again"))]
    may_go.set()
    for each in (*running, *waiting):
        each.wait(30)
    assert accepted == (["comes again"] if comes_again else ["waits"] * AHEAD)


def test_what_was_accepted_goes_on_in_a_slot(pool: Threads) -> None:
    """After what waits for it already."""
    order: list[str] = []
    may_go, is_over = threading.Event(), threading.Event()
    apply(pool, STEP, lambda *_, **__: order.append("step" if may_go.wait(30) else "late"))

    def submit() -> None:
        order.append("submit")
        is_over.set()

    assert APP.services.next_up.take(submit, is_over.set)
    may_go.set()
    assert is_over.wait(30)
    assert order == ["step", "submit"]


def test_few_wait_for_a_slot_in_the_process(pool: Threads) -> None:
    """The rest waits in the broker, where every process can take it."""
    may_go, has_begun = threading.Event(), threading.Event()

    def step(*_: object, **__: object) -> None:
        has_begun.set()
        may_go.wait(30)

    apply(pool, STEP, step)
    assert has_begun.wait(30)
    took = [APP.services.next_up.take(lambda: None, lambda: None) for _ in range(TURNS + 1)]
    may_go.set()
    assert took == [True] * TURNS + [False]


def test_a_worker_that_is_told_to_end_begins_nothing_more(pool: Threads) -> None:
    """Celery tells its pool at once, and has it stop only after the connections to a broker that may be away."""
    done: list[str] = []
    may_go, has_begun = threading.Event(), threading.Event()

    def step(*_: object, **__: object) -> None:
        has_begun.set()
        may_go.wait(30)
        done.append("step")

    running = apply(pool, STEP, step)
    assert has_begun.wait(30)
    apply(pool, STEP, lambda *_, **__: done.append("another step"))
    APP.services.next_up.take(lambda: done.append("submit"), lambda: done.append("message"))
    pool.close()
    for task in (STEP, RECONSTRUCT_TASK):
        assert apply(pool, task, lambda *_, **__: done.append("late")) is None
    may_go.set()
    running.wait(30)
    pool.stop()
    assert done == ["message", "step"]


def test_what_has_not_begun_when_the_worker_ends_is_left_to_others() -> None:
    """The step that runs is waited for."""
    pool = Threads(1, app=APP)
    pool.on_start()
    order: list[str] = []
    may_go, has_begun, is_left = threading.Event(), threading.Event(), threading.Event()

    def step(*_: object, **__: object) -> None:
        has_begun.set()
        assert may_go.wait(30)
        order.append("step")

    apply(pool, STEP, step)
    assert has_begun.wait(30)
    APP.services.next_up.take(lambda: order.append("submit"), is_left.set)
    stopped = threading.Thread(target=pool.stop)
    stopped.start()
    assert is_left.wait(30)
    may_go.set()
    stopped.join(30)
    assert order == ["step"]
