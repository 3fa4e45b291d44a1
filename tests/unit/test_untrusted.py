"""What a stranger wrote is read within bounds that are checked before anything is made of it."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rules.untrusted import DEEPEST, DOCUMENT, MESSAGE, Unreadable, read_json

MARKER = "m4rk3r"
LIMIT, MOST_VALUES, MOST_BESIDE = MESSAGE.size, MESSAGE.values, MESSAGE.beside
MEBIBYTE = 2**20

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


@pytest.mark.parametrize("written", [b"AB/+", b"AB\\/+", b"ABCD" * 19 + b"\\n", b"ABCD" * 19 + b"\\r\\n"])
def test_a_photo_is_one_however_its_base64_is_written(written: bytes) -> None:
    """Some encoders escape each slash, some break the lines; as a data URI or not."""
    for prefix in (b"", b"data:image/jpeg;name=a.jpg;base64,"):
        body = b'{"image": "' + prefix + written * (13_000_000 // len(written)) + b'", "prompt": "\xf0\x9f\x98\x80"}'
        assert read_json(body) == json.loads(body)


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


LARGEST = {
    "objects": b"[" + b"{}," * (MOST_VALUES // 2 - 1) + b"{}]",
    "objects with a name": b"[" + b'{"a":1},' * (MOST_VALUES // 2 - 1) + b"{}]",
    "lists": b"[" + b"[1]," * (MOST_VALUES // 2 - 1) + b"1]",
    "numbers": b"[" + b"1.5," * (MOST_VALUES - 2) + b"1]",
    "names": b"{" + b",".join(b'"%d":0' % number for number in range(MOST_VALUES // 2 - 1)) + b"}",
    "a photo": b'"data:image/png;base64,' + b"A" * (LIMIT - 50) + b'"',
    "two photos and wide text": b'["' + b"A" * 2**23 + b'","' + b"/" * 2**22 + b'","' + b"a\xc3\xa9" * 340_000 + b'"]',
    "escapes": b'"' + b"\\n" * (MOST_BESIDE // 2 - 1) + b'"',
    "half characters": b'"' + b"\\ud800" * (MOST_BESIDE // 6 - 1) + b'"',
    "levels": b"[" + b"[" * 90 + b"]" * 90 + b"]",
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_takes_little(name: str) -> None:
    """At most three times what a message can be, and a moment of the processor."""
    begun = time.thread_time()
    read_json(LARGEST[name])
    taken = time.thread_time() - begun
    tracemalloc.start()
    try:
        read_json(LARGEST[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{name}: {taken * 1000:.0f} ms, {peak / MEBIBYTE:.0f} MiB")
    assert peak < 3 * LIMIT
    assert taken < 1


PARTS = [b"{}", b"[]", b'{"a":1}', b"[[]]", b'"ab"', b"1.5", b"{},[]"]


@pytest.mark.parametrize("part", PARTS)
def test_many_parts_are_refused_before_they_are_read(part: bytes) -> None:
    """Sixteen mebibytes of empty objects would be half a gigabyte."""
    body = b"[" + b",".join([part] * (16 * 2**20 // (len(part) + 1))) + b"]"
    tracemalloc.start()
    with pytest.raises(Unreadable, match="more than 500000 values"):
        read_json(body, DOCUMENT)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("part", PARTS)
def test_as_many_as_there_may_be_fit(part: bytes) -> None:
    """The worst of them take less than a hundred mebibytes."""
    commas = sum(part.count(each) for each in (b"{", b"[", b",")) + 1
    tracemalloc.start()
    assert read_json(b"[" + b",".join([part] * (DOCUMENT.values // commas - 1)) + b"]", DOCUMENT)
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()
