"""The body of a submit is what ``json.dumps`` writes, without a photo being held in base64."""

import json
from base64 import b64encode
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from worker.vendor.body import LARGE, PIECE, length_of_body, write_body

values = st.text() | st.integers() | st.booleans() | st.none() | st.binary(max_size=10)


def whole(inputs: dict[str, Any]) -> bytes:
    """Return the body as the library writes it at once."""
    text = {name: b64encode(each).decode() if isinstance(each, bytes) else each for name, each in inputs.items()}
    return json.dumps(text).encode()


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_the_pieces_are_the_whole(inputs: dict[str, Any]) -> None:
    """And their length is known before they are written."""
    assert b"".join(write_body(inputs)) == whole(inputs)
    assert length_of_body(inputs) == len(whole(inputs))


def test_a_large_photo_is_written_in_small_pieces() -> None:
    """Whatever is left at the end of it."""
    for size in (0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE + 2, 3 * PIECE + 1):
        inputs = {"seed": 1, "image": bytes(size), "prompt": "a"}
        assert b"".join(write_body(inputs)) == whole(inputs)
        assert length_of_body(inputs) == len(whole(inputs))
        assert max(map(len, write_body(inputs))) <= PIECE * 4 // 3


def test_a_small_body_is_written_at_once() -> None:
    """Each piece takes as long as all else of it; of a large one none is empty, and few are small."""
    assert len(list(write_body({"seed": 1, "image": bytes(2000), "prompt": "a" * 1000}))) == 1
    pieces = [
        len(each) for each in write_body({"seed": 1, "mask": "a" * LARGE, "image": bytes(3 * PIECE), "prompt": "a"})
    ]
    assert len(pieces) == 7
    assert min(pieces) > 0
