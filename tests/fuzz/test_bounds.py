"""The largest that a stranger may send takes little time and memory, and more than that is not read."""

import json
import time
import tracemalloc

import pytest

from worker.rules.untrusted import DOCUMENT, MESSAGE, Unreadable, read_json

LIMIT, MOST_VALUES, MOST_BESIDE = MESSAGE.size, MESSAGE.values, MESSAGE.beside

MEBIBYTE = 2**20


@pytest.mark.parametrize("written", [b"AB/+", b"AB\\/+", b"ABCD" * 19 + b"\\n", b"ABCD" * 19 + b"\\r\\n"])
def test_a_photo_is_one_however_its_base64_is_written(written: bytes) -> None:
    """Some encoders escape each slash, some break the lines; as a data URI or not."""
    for prefix in (b"", b"data:image/jpeg;name=a.jpg;base64,"):
        body = b'{"image": "' + prefix + written * (13_000_000 // len(written)) + b'", "prompt": "\xf0\x9f\x98\x80"}'
        assert read_json(body) == json.loads(body)


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
