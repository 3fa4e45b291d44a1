"""A JSON document is read whole or not at all, and takes no more memory than its bytes let expect."""

import tracemalloc

import pytest

from worker.documents import MOST_PARTS, read_document


@pytest.mark.parametrize("body", [b'{"a": [1, "\\u00e9"]}', b"[]", b"5", b'"a, {["', '{"a": 1}'.encode("utf-16")])
def test_json_is_read(body: bytes) -> None:
    """In whatever encoding JSON may have."""
    assert read_document(body) is not None


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html>", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b"[1,]"],
    ids=lambda body: body[:3].hex() + str(len(body)),
)  # fmt: skip
def test_what_is_none_is_a_value_error(body: bytes) -> None:
    """Also where it is nested deeper than Python is."""
    with pytest.raises(ValueError, match=r"."):
        read_document(body)


PARTS = [b"{}", b"[]", b'{"a":1}', b"[[]]", b'"ab"', b"1.5", b"{},[]"]


@pytest.mark.parametrize("part", PARTS)
def test_many_parts_are_refused_before_they_are_read(part: bytes) -> None:
    """Sixteen mebibytes of empty objects would be half a gigabyte."""
    body = b"[" + b",".join([part] * (16 * 2**20 // (len(part) + 1))) + b"]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="too many parts"):
        read_document(body)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("part", PARTS)
def test_as_many_as_there_may_be_fit(part: bytes) -> None:
    """The worst of them take less than a hundred mebibytes."""
    commas = sum(part.count(each) for each in (b"{", b"[", b",")) + 1
    tracemalloc.start()
    assert read_document(b"[" + b",".join([part] * (MOST_PARTS // commas - 1)) + b"]")
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()
