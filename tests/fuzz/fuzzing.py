"""Send a reader very many nearly good bytes: it answers each with a value or an error of its own, soon."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import Recipe, recipes
from tests.fuzz.targets import TARGETS, Target

LONGEST_CALL = 0.1
"""Seconds of the processor that one call may take, the least of three tries."""

MOST_GROWTH = 100
"""Mebibytes that a process may grow by, in one call or over many."""


def fuzz(target: Target, number: int, examples: int, longest_call: float = LONGEST_CALL) -> Sequence[Recipe]:
    """Try a target with so many examples; return them.

    Raises:
        AssertionError: a call took too long, or an error that is no answer came out of it.
    """
    begins_with = target.seeds()
    tried: list[Recipe] = []

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes)
    def call(recipe: Recipe) -> None:
        tried.append(recipe)
        content = recipe.make(begins_with)[: target.largest]
        taken, grown = _called(target, content)
        assert grown < MOST_GROWTH, f"it took {grown:.0f} MiB"
        assert taken < longest_call, f"it took {taken * 1000:.0f} ms of the processor"

    call()
    return tried


def growth_over(tried: Mapping[str, Sequence[Recipe]]) -> float:
    """Return by how many MiB the process is larger once all was tried again, with nothing else between."""
    gc.collect()
    before = memory("VmRSS")
    for name, recipes_of in tried.items():
        begins_with = TARGETS[name].seeds()
        for recipe in recipes_of:
            _longest_step(TARGETS[name], recipe.make(begins_with)[: TARGETS[name].largest])
    gc.collect()
    return memory("VmRSS") - before


def _called(target: Target, content: bytes) -> tuple[float, float]:
    """Return how long a call takes and by how much it makes the process larger.

    One that was slow is tried again, as something else may have been.
    """
    taken = grown = 0.0
    for _ in range(3):
        gc.collect(0)
        with growth() as measured:
            taken = _longest_step(target, content)
        grown = measured[0]
        if taken < LONGEST_CALL:
            break
    return taken, grown


def _longest_step(target: Target, content: bytes) -> float:
    longest, began = 0.0, time.thread_time()
    with suppress(*target.answers):
        for _ in target.read(content):
            longest, began = max(longest, time.thread_time() - began), time.thread_time()
    return max(longest, time.thread_time() - began)


@contextmanager
def growth() -> Iterator[list[float]]:
    """Give a list that has, once the block has ended, by how many MiB the process was larger at most in it."""
    measured: list[float] = []
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    yield measured
    measured.append(memory("VmHWM") - before)


def memory(name: str) -> float:
    """Read a figure of this process's memory, MiB."""
    status = Path("/proc/self/status").read_text()
    return float(status.partition(f"{name}:")[2].split()[0]) / 1024
