"""A minute of the fuzzer; ``make fuzz MINUTES=10 SEED=7`` goes on for longer."""

from collections.abc import Callable

import pytest

from tests.fuzz import seeds
from tests.fuzz.fuzzing import fuzz
from tests.fuzz.targets import TARGETS, Steps, Target

EXAMPLES = 500
LONGEST_CALL = 0.5
"""Seconds of the processor: beside other tests, a call takes several times as long as alone."""


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_a_reader(name: str) -> None:
    """Each answers with a value or an error of its own, soon and within a hundred mebibytes."""
    assert len(fuzz(TARGETS[name], 7, EXAMPLES, LONGEST_CALL)) >= EXAMPLES


def breaks(content: bytes) -> Steps:
    """Read what is no number as one."""
    yield
    if b"NaN" in content:
        int("NaN")


def is_slow(content: bytes) -> Steps:
    """Look for each part of a text in all of it."""
    yield
    if len(content) > 2**20:
        sum(content.count(content[at : at + 9]) for at in range(100))


def grows(content: bytes) -> Steps:
    """Make very much of little."""
    yield
    if len(content) > 2**20:
        bytearray(150 * 2**20).replace(b"\0", b"\1")


@pytest.mark.parametrize(
    ("read", "why"), [(breaks, "invalid literal"), (is_slow, "ms of the processor"), (grows, "MiB")]
)
def test_the_fuzzer_finds_a_reader_that_is_wrong(read: Callable[[bytes], Steps], why: str) -> None:
    """One that breaks, one that is slow and one that is large."""
    with pytest.raises((ValueError, AssertionError), match=why):
        fuzz(Target(read, seeds.requests), 7, EXAMPLES)
