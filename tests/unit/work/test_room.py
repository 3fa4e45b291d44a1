"""A process has so much in hand and no more; who waits comes in his turn, and is never forgotten."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.support.waiting import wait_until
from worker.work import room as room_module
from worker.work.room import SMALL, NextUp, Room

MIB = 2**20


def enter(room: Room, size: int, entered: list[str], name: str, leave: threading.Event) -> threading.Thread:
    """Have a thread come in and stay until it is told to leave."""

    def stay() -> None:
        with room.taken(size):
            entered.append(name)
            leave.wait(60)

    thread = threading.Thread(target=stay, daemon=True)
    thread.start()
    return thread


def waits(room: Room, number: int) -> Callable[[], bool]:
    """Tell whether so many wait."""
    return lambda: len(room._queue) == number


def test_who_waits_comes_in_by_order() -> None:
    """A large one is not passed for ever by those that would fit in."""
    room, entered, leave = Room(10 * MIB), list[str](), [threading.Event() for _ in range(3)]
    threads = [enter(room, 6 * MIB, entered, "first", leave[0])]
    wait_until(lambda: entered == ["first"], "the first is in")
    threads.append(enter(room, 8 * MIB, entered, "large", leave[1]))
    wait_until(waits(room, 1), "the large one waits")
    threads.append(enter(room, 2 * MIB, entered, "last", leave[2]))
    wait_until(waits(room, 2), "so does the one after it")
    assert entered == ["first"]
    for event in leave:
        event.set()
    for thread in threads:
        thread.join(60)
    assert entered == ["first", "large", "last"]


def test_one_that_is_larger_than_the_room_comes_in_alone() -> None:
    """It is worked on as well."""
    room = Room(MIB)
    with room.taken(5 * MIB):
        assert room._free == 0
    assert room._free == MIB


def test_small_ones_wait_for_nobody() -> None:
    """Whatever is in the room."""
    room = Room(MIB)
    with room.taken(MIB), room.taken(SMALL), room.taken(SMALL):
        assert room._free == 0
    assert room._free == MIB


def test_what_is_not_needed_is_given_back() -> None:
    """How large a photo is may be known only when it is there."""
    room = Room(10 * MIB)
    with room.taken(10 * MIB) as keep:
        keep(3 * MIB)
        assert room._free == 7 * MIB
        keep(5 * MIB)
        assert room._free == 7 * MIB, "it does not grow"
        keep(0)
        assert room._free == 10 * MIB
    assert room._free == 10 * MIB


def test_an_error_gives_all_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the room as well as in the queue."""
    monkeypatch.setattr(room_module, "BEAT_SECONDS", 0.01)
    room = Room(MIB)
    with suppress(KeyError), room.taken(MIB):
        raise KeyError
    with room.taken(MIB):
        with suppress(KeyError), room.taken(MIB, while_waiting=_break):
            raise AssertionError("there is no room")
        assert waits(room, 0)()
    assert room._free == MIB


def _break() -> None:
    raise KeyError


def test_who_waits_shows_that_he_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inbox has a heart that must beat."""
    monkeypatch.setattr(room_module, "BEAT_SECONDS", 0.01)
    room, beats, leave = Room(MIB), list[float](), threading.Event()
    thread = enter(room, MIB, [], "first", leave)
    wait_until(lambda: room._free == 0, "the first is in")

    def beat() -> None:
        beats.append(time.monotonic())
        leave.set()

    with room.taken(MIB, beat):
        assert beats
    thread.join(60)


# What waits for a slot

Act = Callable[[], None]


class Slots:
    """Slots that are free when a test says so."""

    def __init__(self) -> None:
        self.started: deque[Act] = deque()

    def free(self) -> None:
        """Have the next one free."""
        self.started.popleft()()


def named(done: list[str], name: str) -> tuple[Act, Act]:
    """Return what is to be done under a name, and what in its place."""
    return lambda: done.append(name), lambda: done.append(f"not {name}")


def test_without_slots_nothing_is_taken() -> None:
    """As in a process that only sends."""
    done: list[str] = []
    assert not NextUp().take(*named(done, "a"))
    assert done == []


def test_it_is_done_in_the_order_in_which_it_came() -> None:
    """Each once, when a slot is free."""
    done: list[str] = []
    slots, next_up = Slots(), NextUp()
    next_up.open(slots.started.append, 8)
    assert [next_up.take(*named(done, each)) for each in "ab"] == [True, True]
    assert done == []
    slots.free()
    slots.free()
    assert done == ["a", "b"]


def test_as_much_waits_as_may() -> None:
    """Who came last would wait long; what has begun waits no more."""
    done: list[str] = []
    slots, next_up = Slots(), NextUp()
    next_up.open(slots.started.append, 2)
    assert [next_up.take(*named(done, each)) for each in "abc"] == [True, True, False]
    slots.free()
    assert next_up.take(*named(done, "c"))


def test_what_waits_when_the_process_ends_is_left_to_others() -> None:
    """And what comes after; a slot that is free then finds nothing."""
    done: list[str] = []
    slots, next_up = Slots(), NextUp()
    next_up.open(slots.started.append, 2)
    next_up.take(*named(done, "a"))
    next_up.take(*named(done, "b"))
    slots.free()
    next_up.close()
    assert not next_up.take(*named(done, "c"))
    slots.free()
    assert done == ["a", "not b"]


def test_of_many_at_once_each_is_done_once() -> None:
    """By whichever slot; what was not taken was not done."""
    done: list[str] = []
    next_up = NextUp()
    taken: list[bool] = []
    with ThreadPoolExecutor(4) as slots:
        next_up.open(slots.submit, 4)
        threads = [
            threading.Thread(target=lambda number=number: taken.append(next_up.take(*named(done, f"{number}"))))
            for number in range(200)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        next_up.close()
    assert len(done) == len(set(done)) == sum(taken)
