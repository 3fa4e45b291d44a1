"""What the vendor said is kept within bounds, as any database takes it, and shown without what it quotes."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.vendor import verbatim
from worker.vendor.verbatim import CUT, KEPT_BYTES, kept, shown

KEY = "SG_0123456789abcdef"
PROMPT = "a red cup with a handle"
PHOTO = "iVBORw0KGgo" * 100
ADDRESS = "https://files.segmind.com/model.glb?signature=m4rk3r"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=20,
)


def size(value: object) -> int:
    """Return how many bytes a value has as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def test_a_body_is_kept_as_it_came() -> None:
    """Whatever is in it, with where it is from."""
    body = {"status": "COMPLETED", "output": [ADDRESS], "metrics": {"cost": 0.06, "seconds": 1.5e-05}, "new": None}
    assert kept(body, "result") == {"said_by": "result", "is_cut": False, "body": body}


@pytest.mark.parametrize(
    ("value", "as_kept"),
    [
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("a\ud800b\udfff", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1e300, "1e+300"),
        (1e-300, "1e-300"),
        (2**53, "9007199254740992"),
        (-(10**400), f"-1{'0' * 400}"),
        (10**5000, f"{CUT} a number of 16610 bits"),
        (2**53 - 1, 2**53 - 1),
        (0, 0),
        (True, True),
        (f"key {KEY}", f"key {CUT}"),
        ("sg_0123456789abcdef", CUT),
        ("see data:image/png;base64,iVBO now", f"see {CUT} now"),
        (PHOTO, CUT),
        (PHOTO + "==", CUT),
        ("x " * 4096, f"{'x ' * 2048}{CUT} of 8192 characters"),
        (("a", "b"), ["a", "b"]),
    ],
    ids=["nul", "halves", "nan", "inf", "huge", "tiny", "unsafe", "digits", "unwritten", "safe", "zero", "true", "key",
         "small key", "uri", "photo", "padded", "long", "rows"],
)  # fmt: skip
def test_what_not_every_reader_takes_is_kept_otherwise(value: object, as_kept: object) -> None:
    """Half characters, numbers beyond what is sure, a key, a photo: as a value, and text as a name."""
    assert kept({"x": [value]}, "result")["body"] == {"x": [as_kept]}
    if isinstance(value, str) and isinstance(as_kept, str):
        assert kept({value: 1}, "result")["body"] == {as_kept: 1}


PARTS = [
    "SG_",
    "sg_",
    "sG_",
    "\u017fG_",
    "data:",
    "DATA:x,",
    "dat\u0430:",
    "\0",
    "\ud800",
    "\xe9",
    " ",
    "/",
    "=",
    "0aZ",
    "a" * 599,
    "+",
]


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=9).map("".join))
@example("\u017fG_0aZ")
@example("DATA:,x")
@example("a" * 600)
def test_what_is_taken_as_it_is_has_nothing_that_goes(text: str) -> None:
    """Most texts are told from those with a key or a photo at a glance: no text comes through that would be changed."""
    assert verbatim._text(text) == verbatim._NOBODYS.sub(CUT, verbatim._UNFIT.sub("\N{REPLACEMENT CHARACTER}", text))


def test_an_echoed_photo_is_not_kept_however_small() -> None:
    """It goes when its job has ended; an address of it is in the job's row anyway."""
    body = {"image": "iVBORw0", "input": {"Mask": [137, 80], "image": "https://x.example/cat.png"}, "mask": None}
    assert kept(body, "result")["body"] == {
        "image": CUT,
        "input": {"Mask": CUT, "image": "https://x.example/cat.png"},
        "mask": None,
    }


@given(st.dictionaries(st.text(), VALUES))
def test_anything_is_kept_as_json_that_is_sure(body: dict[str, Any]) -> None:
    """It is read as it was written, has no character that a text can't have, and is itself once it is kept."""
    once = kept(body, "result")
    written = json.dumps(once, allow_nan=False)
    assert json.loads(written) == once
    assert "\\u0000" not in written
    json.dumps(once, ensure_ascii=False).encode()
    assert kept(once["body"], "result") == once


@pytest.mark.parametrize(
    "body",
    [
        {"output": ADDRESS, "points": list(range(100_000)), "metrics": {"cost": 0.06}},
        {"output": ADDRESS, "text": ["word " * 400] * 1000, "metrics": {"cost": 0.06}},
        {"output": ADDRESS, "deep": {"a": {"b": {"c": ["x" * 100] * 5000}}}, "metrics": {"cost": 0.06}},
        {"output": ADDRESS, "metrics": {"cost": 0.06}, **{f"name {n}": {"of": "x" * 20} for n in range(5000)}},
        {"output": ADDRESS, "metrics": {"cost": 0.06}, "wide": "\U0001f600" * 4000, "and": ["\1" * 4000] * 40},
    ],
    ids=["numbers", "texts", "deep", "members", "wide"],
)
def test_a_large_body_is_cut_with_a_mark(body: dict[str, Any]) -> None:
    """What is small of it is kept, whatever is large beside it."""
    said = kept(body, "result")
    assert said["is_cut"]
    assert KEPT_BYTES / 3 < size(said["body"]) <= KEPT_BYTES
    assert (said["body"]["output"], said["body"]["metrics"]) == (ADDRESS, {"cost": 0.06})
    assert " more" in json.dumps(said["body"])


@settings(max_examples=20)
@given(st.dictionaries(st.text(), VALUES, min_size=1), st.integers(1, 4))
def test_no_shape_gets_more_room(body: dict[str, Any], times: int) -> None:
    """However it is nested and repeated."""
    many = {f"{n}": [body] * 20 * 4**n for n in range(times)}
    assert size(kept(many, "result")["body"]) <= KEPT_BYTES


def test_hostile_texts_take_no_time() -> None:
    """A body of a mebibyte is looked at once."""
    begun = time.monotonic()
    runs = ["a" * 599 + " ", "data:" * 800, "SG_" * 1300, "data:" + "x" * 4000]
    kept({f"{n}": (text * 8)[:4096] for n in range(64) for text in runs}, "result")
    nested: Any = "x" * 4000
    for _ in range(90):
        nested = [nested, "y" * 4000]
    kept({"nested": [nested, nested]}, "result")
    assert time.monotonic() - begun < 3


def test_nothing_is_shown_that_may_be_quoted() -> None:
    """No address, no prompt, no photo, in values and names, and nothing that repeats what was sent."""
    parameters = {"prompt": PROMPT}
    said = kept(
        {
            "status": "COMPLETED",
            "request_id": "1d92e4d9-e250-4d66-a10f-652d4d0a3162",
            "output": {"model": ADDRESS, PROMPT: [f"of {PROMPT}", ADDRESS]},
            "Prompt": PROMPT,
            "request_body": {"seed": 7},
            "thumbnail": "iVBORw0KGgo" * 5,
            "metrics": {"cost": 0.06},
        },
        "result",
    )
    assert shown(said, parameters) == {
        "said_by": "result",
        "is_cut": False,
        "body": {
            "status": "COMPLETED",
            "request_id": "1d92e4d9-e250-4d66-a10f-652d4d0a3162",
            "output": {"model": CUT, CUT: [f"of {CUT}", CUT]},
            "Prompt": CUT,
            "request_body": CUT,
            "thumbnail": CUT,
            "metrics": {"cost": 0.06},
        },
    }


@pytest.mark.parametrize(
    "hidden",
    [
        "HTTPS%3A%2F%2Ffiles.example%2Fm.glb", "files.example/m.glb?X-Amz-Signature=1", "//files.example/m.glb",
        "s3://bucket/m.glb", "A RED\ncup with a handle", f"cut here: {PROMPT[:14]}",
    ],
)  # fmt: skip
def test_writings_of_it_are_not_shown_either(hidden: str) -> None:
    """As the vendor's sentences are not: escaped, without a scheme, in part."""
    said = json.dumps(shown(kept({"x": [{"y": hidden}]}, "result"), {"prompt": PROMPT})["body"], ensure_ascii=False)
    assert not [part for part in ("files", "m.glb", "bucket", "cup", "a red") if part in said.lower()]
