"""Columns of numbers are read whatever lies between, and wherever pieces end."""

import io
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.gate import arrays
from worker.gate.arrays import Column, Source, extremes, largest_index
from worker.gate.unfit import Unfit

NARROW = {"f": st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100), "d": st.floats(-1e200, 1e200)}
WHOLE = {
    "b": (-128, 127),
    "B": (0, 255),
    "h": (-(2**15), 2**15 - 1),
    "H": (0, 2**16 - 1),
    "I": (0, 2**32 - 1),
    "i": (-(2**31), 2**31 - 1),
}
NUMBERS = {**NARROW, **{code: st.integers(*ends) for code, ends in WHOLE.items()}}


def column(values: Sequence[float], code: str, gap: int = 0, *, is_big_endian: bool = False) -> Column:
    """Return numbers in a file, with as many bytes between and before them."""
    form = (">" if is_big_endian else "<") + code
    content = b"".join(b"\xff" * gap + struct.pack(form, value) for value in values)
    stride = gap + struct.calcsize(form)
    return Column(Source(io.BytesIO(b"#" + content), 1, len(content)), gap, stride, len(values), code, is_big_endian)


@pytest.mark.parametrize("code", sorted(NUMBERS))
@given(data=st.data(), gap=st.integers(0, 9), is_big=st.booleans(), piece=st.sampled_from([1, 16, 64]))
def test_the_ends_are_those_of_all(data: st.DataObject, code: str, gap: int, is_big: bool, piece: int) -> None:
    """Of every kind of number, in either order of bytes."""
    values = data.draw(st.lists(NUMBERS[code], min_size=1, max_size=40))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arrays, "PIECE", piece)
        assert extremes(column(values, code, gap, is_big_endian=is_big)) == (min(values), max(values))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("code", ["f", "d"])
@pytest.mark.parametrize("is_big_endian", [False, True])
def test_no_finite_number_is_found_wherever_it_is(value: float, code: str, is_big_endian: bool) -> None:
    """Even where not all numbers are compared."""
    value = value if code == "f" or value != 3e38 else 1e305
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arrays, "MOST_COMPARED", 10)
        for place in (0, 333, 999):
            values = [1.0] * 1000
            values[place] = value
            with pytest.raises(Unfit, match="no finite number"):
                extremes(column(values, code, 3, is_big_endian=is_big_endian))


def test_a_file_that_ends_is_told() -> None:
    """With the bytes that are missing."""
    whole = column([1.0, 2.0], "f")
    with pytest.raises(Unfit, match="ends 4 bytes too soon"):
        extremes(Column(whole.source, 0, 4, 3, "f"))


@given(st.lists(st.integers(0, 2**16 - 1), min_size=3, max_size=99).filter(lambda values: len(set(values)) > 1))
def test_the_largest_index(values: list[int]) -> None:
    """Of several pieces."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(arrays, "PIECE", 8)
        assert largest_index(column(values, "H")) == max(values)


def test_indices_that_are_all_the_same_draw_nothing() -> None:
    """As those of a file of zeros."""
    with pytest.raises(Unfit, match="9 indices that are all 5"):
        largest_index(column([5] * 9, "H"))
    assert largest_index(column([7, 7], "H")) == 7
