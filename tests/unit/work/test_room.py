"""A process has so many bytes of photos in hand and no more; who waits comes in his turn."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest

from tests.support.waiting import wait_until
from worker.work import room as room_module
from worker.work.room import SMALL, Door, Room

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


@pytest.mark.parametrize(("slots", "most"), [(1, 0), (3, 0), (4, 1), (8, 2), (16, 4)])
def test_a_quarter_of_the_slots_may_go_on_with_their_requests(slots: int, most: int) -> None:
    """The others are for the requests that come."""
    door = Door()
    with ExitStack() as inside:
        for number in range(1, most + 3):
            inside.enter_context(door.entered())
            assert door.is_quiet(slots) == (number <= most)
    assert door.is_quiet(slots), "whoever left is not counted"
