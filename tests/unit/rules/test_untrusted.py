"""What a stranger wrote is read within bounds that are checked before anything is made of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.untrusted import DEEPEST, MESSAGE, Unreadable, read_json

MARKER = "m4rk3r"
LIMIT, MOST_VALUES, MOST_BESIDE = MESSAGE.size, MESSAGE.values, MESSAGE.beside

words = st.text("ab/é😀\0\ud800\udfff", max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


@given(values, st.booleans())
def test_what_python_writes_is_read(value: Any, is_ascii: bool) -> None:
    """Half a character too, as it can be written: the field that has it is refused by name."""
    text = json.dumps(value, ensure_ascii=is_ascii)
    try:
        body = text.encode()
    except UnicodeEncodeError:  # Outside an escape, half a character is no UTF-8.
        return
    assert read_json(body) == json.loads(body)


def test_a_mark_of_byte_order_is_no_part_of_it() -> None:
    """Some platforms write one."""
    assert read_json("\ufeff[1]".encode()) == [1]


HOSTILE = {
    "too large": (b" " * LIMIT + b"1", "larger than 16 MiB"),
    "objects": (b"[" + b"{}," * MOST_VALUES + b"{}]", "more than 100000 values"),
    "lists": (b"[" * (MOST_VALUES + 1), "more than 100000 values"),
    "names": (b"{" + b'"a":1,' * MOST_VALUES + b'"a":1}', "more than 100000 values"),
    "quotes": (b'"' * (2 * MOST_VALUES + 1), "more than 100000 values"),
    "wide text": (('"' + "A" * (LIMIT - 16) + '😀"').encode(), "beside its photos"),
    "escaped wide text": (b'"' + b"A" * (LIMIT - 16) + b'\\ud83d\\ude00"', "beside its photos"),
    "wide text after a quote": (b'"' + b"A" * 2**22 + '😀\\"'.encode() + b"A" * 2**22 + b'"', "beside its photos"),
    "blanks": (b" " * LIMIT, "beside its photos"),
    "nested": (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested too deep"),
    "much nested": (b"[" * MOST_VALUES, "not JSON"),
    "digits": (b"9" * 2**20, "not JSON"),
    "cut": (b'{"a": "' + MARKER.encode() * 100_000, "not JSON"),
    "no UTF-8": (b'"\xff' + MARKER.encode() + b'"', "not JSON"),
    "half a character, cut": (b'"\\ud800' + MARKER.encode(), "not JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_out_of_bounds_is_unreadable(name: str) -> None:
    """It says why and never what."""
    body, why = HOSTILE[name]
    with pytest.raises(Unreadable, match=why) as unreadable:
        read_json(body)
    assert MARKER not in str(unreadable.value)
    assert unreadable.value.__context__ is None or unreadable.value.__suppress_context__


@pytest.mark.parametrize("inner", [b"[" + b"[],[]," * DEEPEST + b"1]", b'"' + b"[{" * DEEPEST + b'"', b"1"])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_so_many_levels_and_no_more(inner: bytes, opening: bytes, closing: bytes) -> None:
    """What is beside each other, or in a text, is no level."""
    own = 2 if inner.startswith(b"[") else 0
    at_most = DEEPEST - own
    read_json(opening * at_most + inner + closing * at_most)
    with pytest.raises(Unreadable, match="nested too deep"):
        read_json(opening * (at_most + 1) + inner + closing * (at_most + 1))
