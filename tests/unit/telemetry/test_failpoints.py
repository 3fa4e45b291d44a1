"""The failpoints: each is one place in the code, and none does anything unless it is set."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker
from worker.errors import ConfigurationError
from worker.rules.lifecycle import Step
from worker.telemetry import failpoints
from worker.telemetry.failpoints import ACTIONS, FAILPOINTS, arm, reach

CODE = [path for path in Path(worker.__file__).parent.rglob("*.py") if path.name != "failpoints.py"]


@pytest.fixture
def struck(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[signal.Signals]]:
    """Provide the signals that this process would have sent to itself; no trap is set before or after."""
    signals: list[signal.Signals] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append(number) if pid == os.getpid() else None)
    monkeypatch.setattr(failpoints, "_reached", type(failpoints._reached)())
    arm("")
    yield signals
    arm("")


def places() -> list[str]:
    """Return the places that the code names; one in the executor stands for a place in each step."""
    named = [name for path in CODE for name in re.findall(r'\breach\(f?"([^"]+)"\)', path.read_text())]
    steps = [name for name in named if name.startswith("{")]
    spelt_out = [re.sub(r"\{.*?\}", step, name) for name in steps for step in Step]
    return [name for name in named if name not in steps] + spelt_out


def test_each_failpoint_is_reached_in_one_place() -> None:
    """The list is the code's; a process without a thread that publishes does so as well."""
    found = [name for name in places() if name in FAILPOINTS]
    assert set(found) == set(FAILPOINTS)
    assert sorted(found) == sorted([*FAILPOINTS, "publish.confirmed"])


def test_the_code_names_no_other_failpoint() -> None:
    """A place that can't be set would be dead code; only a fetch that is tried again sends a message."""
    assert set(places()) - set(FAILPOINTS) == {"fetch.sent"}


def test_nothing_happens_when_off(struck: list[signal.Signals]) -> None:
    """Without a trap, every place is passed."""
    for name in FAILPOINTS:
        reach(name)
    assert struck == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_trap_strikes_at_its_place_alone(action: str, struck: list[signal.Signals]) -> None:
    """The other places are passed."""
    arm(f"submit.taken={action}")
    for name in FAILPOINTS:
        reach(name)
    assert struck == [ACTIONS[action]]


def test_a_trap_strikes_at_the_nth_time_and_once(struck: list[signal.Signals]) -> None:
    """The times before and after are passed, so that a process that went on goes on."""
    arm("poll.taken=freeze:3")
    counts = []
    for _ in range(5):
        reach("poll.taken")
        counts.append(len(struck))
    assert counts == [0, 0, 1, 1, 1]


def test_several_traps_are_set_at_once(struck: list[signal.Signals]) -> None:
    """Spaces and an empty part are no mistake."""
    arm("accept.sent=stop, poll.sent=kill,")
    for name in FAILPOINTS:
        reach(name)
    assert struck == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize(
    "text", ["nowhere=kill", "submit.taken", "submit.taken=explode", "submit.taken=kill:soon", "=kill"]
)
def test_an_unknown_place_or_action_is_a_mistake(text: str, struck: list[signal.Signals]) -> None:
    """It is told in one line with the fix, and no trap is left."""
    with pytest.raises(ConfigurationError, match="sam3d failpoints"):
        arm(text)
    for name in FAILPOINTS:
        reach(name)
    assert struck == []
