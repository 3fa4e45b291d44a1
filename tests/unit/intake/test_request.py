"""A request is taken as it is meant or refused by a sentence that names the field and never quotes the value."""

import base64
import json
import math
import tracemalloc
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidMessage
from worker.intake.request import (
    MAX_METADATA_BYTES,
    MAX_POINTS,
    ReconstructionRequest,
    derived_job_id,
    given_job_id,
    parse_request,
)
from worker.rules.job import MAX_IMAGE_BYTES
from worker.rules.untrusted import MESSAGE

MARKER = "m4rk3r"
JOB_ID = "0f1e2d3c-4b5a-4697-8877-665544332211"
URL = "https://example.com/cat.png"
FIELDS = list(ReconstructionRequest.model_fields)
HUGE = 10**400

words = st.text('ab[]{}"\\:, 019é😀\0\ud800\udfff', max_size=12)
numbers = st.integers() | st.floats() | st.sampled_from([HUGE, -HUGE])
anything = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=6,
)
names = st.lists(st.text("ab:é\ud7ff", max_size=3), min_size=2, max_size=2)


def refusal(fields: Mapping[str, Any]) -> InvalidMessage:
    """Return the error of a request that is refused."""
    with pytest.raises(InvalidMessage) as refused:
        parse_request(fields)
    return refused.value


def parsed(fields: Mapping[str, Any]) -> tuple[ReconstructionRequest | None, InvalidMessage | None]:
    """Return the request or its refusal; anything else that is raised is a bug."""
    try:
        return parse_request(fields), None
    except InvalidMessage as error:
        return None, error


def nested(depth: int) -> Any:
    """Return an object this deep."""
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_an_image_alone_is_a_request() -> None:
    """Nothing else is required, and nothing is sent that was not given."""
    request = parse_request({"image": URL})
    assert request.parameters == {}
    assert {name: image.url for name, image in request.files.items()} == {"image": URL}


def test_a_full_request(photo: str) -> None:
    """Each field arrives; points and boxes are in the vendor's form, the exact one of its documentation."""
    request = parse_request(
        {
            "image": photo,
            "mask": URL,
            "prompt": "the cat",
            "bounding_box": [50, 75, 350, 400],
            "point_coords": [[1, 2], [3.5, 4]],
            "seed": 7,
            "include_artifacts": True,
            "job_id": JOB_ID,
            "idempotency_key": "order 7",
            "priority": -3,
            "metadata": {"order": 7},
        }
    )
    assert request.parameters == {
        "prompt": "the cat",
        "bounding_box": "[50, 75, 350, 400]",
        "point_coords": "[[1, 2], [3.5, 4]]",
        "seed": 7,
        "include_artifacts": True,
    }
    assert list(request.files) == ["image", "mask"]
    assert (request.job_id, request.idempotency_key) == (UUID(JOB_ID), "order 7")
    assert (request.priority, request.metadata) == (-3, {"order": 7})


@pytest.mark.parametrize(
    ("name", "as_list", "as_text"),
    [
        ("bounding_box", [50, 75, 350, 400], "[50,75, 350, 400]"),
        ("bounding_box", [0.5, 0, 1e3, 2], "[0.5, 0.0, 1000, 2.0]"),
        ("point_coords", [[1, 2]], "[[1,2]]"),
        ("point_coords", [[1, 2], [3, 4]], " [[1, 2], [3, 4]] "),
    ],
)
def test_a_list_and_its_text_are_the_same_request(name: str, as_list: list[Any], as_text: str) -> None:
    """A sender may use either form; a duplicate in the other form is a duplicate."""
    first, second = (parse_request({"image": URL, name: value}) for value in (as_list, as_text))
    assert first.parameters == second.parameters
    assert first.fingerprint == second.fingerprint
    assert json.loads(first.parameters[name]) == as_list


@pytest.mark.parametrize("value", [0, 123, 1_000_000])
def test_seeds_within_the_vendors_range(value: int) -> None:
    """Both ends are allowed."""
    assert parse_request({"image": URL, "seed": value}).parameters == {"seed": value}


WRONG: dict[str, list[Any]] = {
    "image": [
        None, 5, True, "", [], {}, "m4rk3r", "/home/m4rk3r.png", "ftp://m4rk3r/x.png",
    ],
    "mask": [
        5, True, "", [], {}, "m4rk3r", "https://u:m4rk3r@example.com/x.png",
    ],
    "prompt": [
        5, True, "", ["m4rk3r"], {"m4rk3r": 1}, "m4rk3r" * 400,
        "m4rk3r\0", "m4rk3r\ud800", "\udfffm4rk3r",
    ],
    "bounding_box": [
        5, True, "", "m4rk3r", {}, [], [1, 2, 3], [1, 2, 3, 4, 5], "[1, 2, 3]",
        ["m4rk3r", 2, 3, 4], [True, 0, 2, 3], [None, 0, 2, 3], [[1], 0, 2, 3],
        "[1, 2, 3, 4", "{}", "null", "[1, 2, 3, NaN]", "[1, 2, 3, Infinity]",
        [5, 0, 5, 9], [5, 0, 4, 9], [0, 5, 9, 5], [0, 5, 9, 4], "[5, 0, 4, 9]",
        [-1, 0, 5, 5], [0, -0.5, 5, 5], [0, 0, math.nan, 5], [0, 0, 5, math.inf],
        [0, 0, 5, HUGE], f"[0, 0, 5, {HUGE}]", "[" * 5000,
    ],
    "point_coords": [
        5, True, "", "m4rk3r", {}, [], "[]", [1, 2], [[1]], [[1, 2, 3]], [{}],
        [["m4rk3r", 1]], [[True, 1]], [[1, None]], [[1, 2], 3], "[[1, NaN]]",
        [[-1, 1]], [[1, math.nan]], [[math.inf, 1]], [[-math.inf, 1]], [[1, HUGE]], [[1, 1]] * (MAX_POINTS + 1),
    ],
    "seed": [
        -1, 1_000_001, True, False, "5", 5.0, 5.5, math.nan, [], {}, "m4rk3r", HUGE, -HUGE,
    ],
    "include_artifacts": [
        1, 0, "true", "m4rk3r", [], {},
    ],
    "job_id": [
        5, True, "", "m4rk3r", [], {}, JOB_ID[:-1], JOB_ID + "0", "0" * 35 + "g",
        JOB_ID.replace("-", ""), f"{{{JOB_ID}}}", f"urn:uuid:{JOB_ID}",
    ],
    "idempotency_key": [
        5, True, "", ["m4rk3r"], {}, "m4rk3r\0", "m4rk3r\ud800", "m4rk3r" * 50,
    ],
    "priority": [
        -101, 101, True, "5", 5.0, None, [], {}, "m4rk3r", HUGE,
    ],
    "force": [None, 5, 1, 0, "true", "m4rk3r", [], {}],
    "metadata": [
        None, 5, True, "m4rk3r", ["m4rk3r"], {"a": "m4rk3r\0"}, {"m4rk3r\0": 1},
        {"a": "\ud800m4rk3r"}, {"\ud800": "m4rk3r"}, {"a": math.nan}, {"a": -math.inf},
        {"a": MARKER * MAX_METADATA_BYTES}, nested(100_000),
    ],
}  # fmt: skip
WRONG_VALUES = [
    pytest.param(name, value, id=f"{name}-{number}")
    for name, values in WRONG.items()
    for number, value in enumerate(values)
]


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES)
def test_a_wrong_value_is_refused_by_its_field(name: str, value: Any) -> None:
    """The sentence names the field, says what it must be, and holds nothing of what was given."""
    error = refusal({"image": URL, name: value})
    assert (error.field, error.code) == (name, "invalid_request")
    assert str(error).startswith(f"`{name}` ")
    assert str(error).endswith(".")
    assert MARKER not in f"{error} {error!r} {error.__cause__!r}"


def test_each_field_has_a_wrong_value_above() -> None:
    """A new field is not forgotten here."""
    assert set(WRONG) == set(FIELDS)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "`image` is required."),
        ({"image": URL, "colour": MARKER}, "`colour` is not a field of a request; remove it."),
        ({"image": URL, "bounding_box": [9, 0, 1, 9]}, "`bounding_box` must have x2 > x1 and y2 > y1."),
        ({"image": URL, "seed": -1}, "`seed` must be greater than or equal to 0."),
        ({"image": URL, "seed": 1_000_001}, "`seed` must be less than or equal to 1000000."),
        ({"image": URL, "seed": "5"}, "`seed` must be an integer."),
        ({"image": URL, "job_id": "5"}, "`job_id` must be a UUID."),
        ({"image": URL, "prompt": ""}, "`prompt` must not be empty."),
        ({"image": URL, "prompt": "\0"}, "`prompt` must not hold the character U+0000."),
    ],
)
def test_sentences(fields: dict[str, Any], sentence: str) -> None:
    """What a sender reads is plain English, and says the fix."""
    assert str(refusal(fields)) == sentence


def test_an_odd_field_name_can_be_shown() -> None:
    """The name of an unknown field is shortened, and nothing in it can act on a terminal or a log."""
    error = refusal({"image": URL, "\x1b[31m\n" + "x" * 500: 1})
    assert error.field == "??31m?" + "x" * 58
    assert str(error).isprintable()


def test_one_unknown_field_of_many_is_enough() -> None:
    """The library would make an error of each, which is nearly a hundred mebibytes of what one message can have."""
    fields = {"image": URL, **{f"x{number}": 0 for number in range(MESSAGE.values)}}
    tracemalloc.start()
    error = refusal(fields)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error) == "`x0` is not a field of a request; remove it."
    assert peak < 2**20


@pytest.mark.parametrize("name", ["reply_to", "callback_url"])
def test_what_is_not_built_is_refused_by_name(name: str) -> None:
    """It is never ignored: a sender that waits for a call would wait for ever."""
    error = refusal({"image": URL, name: MARKER})
    assert (error.field, error.code) == (name, "not_supported")
    assert str(error).startswith(f"`{name}` is not supported yet")
    assert MARKER not in str(error)


def test_a_backslash_is_no_null_character() -> None:
    r"""The six characters ``\u0000`` are text like any other."""
    assert parse_request({"image": URL, "prompt": "\\u0000"}).prompt == "\\u0000"


def test_image_and_mask_share_the_limit(png: bytes) -> None:
    """Each fits alone; together they are larger than a message may be."""
    half = base64.b64encode(png.ljust(MAX_IMAGE_BYTES // 2, b"\0")).decode()
    more = base64.b64encode(png.ljust(MAX_IMAGE_BYTES // 2 + 1, b"\0")).decode()
    assert parse_request({"image": half, "mask": half}).files["mask"].size == MAX_IMAGE_BYTES // 2
    assert str(refusal({"image": half, "mask": more})).startswith("`image` and `mask` are together larger than 10 MiB")


def test_metadata_may_be_as_large_as_it_says() -> None:
    """64 KiB as UTF-8, with the quotes and the braces."""
    frame = len(json.dumps({"a": ""}))
    fits = {"a": "x" * (MAX_METADATA_BYTES - frame)}
    assert parse_request({"image": URL, "metadata": fits}).metadata == fits
    assert refusal({"image": URL, "metadata": {"a": "é" * (MAX_METADATA_BYTES // 2)}}).field == "metadata"


def test_accepted_metadata_can_be_written_from_anywhere() -> None:
    """How deep it may be does not hang on the stack: the database's driver writes it from a deeper one."""

    def written_from(frames: int, value: object) -> str:
        return json.dumps({"of": value}) if frames == 0 else written_from(frames - 1, value)

    for depth in range(100, 1000, 50):
        request, _ = parsed({"image": URL, "metadata": nested(depth)})
        assert request is None or written_from(120, request.metadata)


def test_a_request_does_not_show_what_it_holds(photo: str) -> None:
    """Its representation has neither the image, nor the prompt, nor the sender's metadata."""
    words_of_the_sender = {"prompt": MARKER, "metadata": {"a": MARKER}}
    shown = repr(parse_request({"image": photo, "mask": f"https://example.com/{MARKER}.png", **words_of_the_sender}))
    assert MARKER not in shown
    assert photo[:20] not in shown


def test_the_identity_is_the_senders() -> None:
    """A UUID in its usual form names the job; what is no UUID names none."""
    assert given_job_id({"job_id": JOB_ID.upper()}) == given_job_id({"job_id": UUID(JOB_ID)}) == UUID(JOB_ID)
    assert [given_job_id({"job_id": value}) for value in (None, 5, "", MARKER, ["x"])] == [None] * 5


@given(st.one_of(st.just(JOB_ID), st.text("0123456789abcdef-{}urn:", max_size=40)))
def test_one_reading_of_the_identity(text: str) -> None:
    """A request that is taken has the identity that its sender gave: no id is read in one place and not in another."""
    request, _ = parsed({"image": URL, "job_id": text})
    assert request is None or request.job_id == given_job_id({"job_id": text})


def test_a_derived_identity_is_the_same_each_time() -> None:
    """It is part of the contract: a message that comes again after an update is the same job."""
    assert derived_job_id("celery", "id") == derived_job_id("celery", "id")
    assert derived_job_id("celery", "id").version == 5


def test_derived_identities_differ_between_kinds() -> None:
    """The same name in two envelopes is two requests."""
    ids = {derived_job_id(kind, "id") for kind in ("celery", "amqp", "body", "cloudevent")}
    assert len(ids) == 4


@given(names, names)
def test_derived_identities_differ_between_names(one: list[str], other: list[str]) -> None:
    """Two CloudEvents are one only if source and id are both the same."""
    assert (derived_job_id("cloudevent", *one) == derived_job_id("cloudevent", *other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"), [(("urn:a:b", "c"), ("urn:a", "b:c")), (("a", ":"), ("a:", "")), (("a", "b"), ("b", "a"))]
)
def test_a_colon_in_a_name_makes_no_other_request_the_same(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Sources are URIs and have colons."""
    assert derived_job_id("cloudevent", *one) != derived_job_id("cloudevent", *other)


def test_the_fingerprint_ignores_the_identity() -> None:
    """The same request under another id or key asks for the same."""
    plain = parse_request({"image": URL})
    named = parse_request({"image": URL, "job_id": JOB_ID, "idempotency_key": "key"})
    assert plain.fingerprint == named.fingerprint


@pytest.mark.parametrize(
    "more",
    [
        {"image": URL + "?2"},
        {"mask": URL},
        {"prompt": "cat"},
        {"bounding_box": [0, 0, 1, 1]},
        {"point_coords": [[0, 0]]},
        {"seed": 0},
        {"include_artifacts": False},
        {"priority": 1},
        {"metadata": {"a": 1}},
    ],
)
def test_the_fingerprint_differs_by_payload(more: dict[str, Any]) -> None:
    """Whatever is asked for differently is another request."""
    assert parse_request({"image": URL, **more}).fingerprint != parse_request({"image": URL}).fingerprint


def test_the_same_bytes_are_the_same_image(photo: str) -> None:
    """A data URI and plain base64 of one file have one fingerprint; image and mask are not mixed up."""
    first, second = parse_request({"image": photo}), parse_request({"image": f"data:image/png;base64,{photo}"})
    assert first.fingerprint == second.fingerprint
    swapped = [{"image": photo, "mask": URL}, {"image": URL, "mask": photo}]
    assert len({parse_request(fields).fingerprint for fields in swapped}) == 2


def test_each_field_is_described() -> None:
    """The schema that is published is generated from here."""
    assert all(field.description for field in ReconstructionRequest.model_fields.values())


@given(st.dictionaries(st.sampled_from(FIELDS) | words, anything, max_size=5), st.booleans())
def test_nothing_else_is_ever_raised(fields: dict[str, Any], has_image: bool) -> None:
    """Whatever object comes, it is a request or refused by a sentence."""
    _, error = parsed({**fields, **({"image": URL} if has_image else {})})
    assert error is None or str(error).startswith("`")


@given(st.sampled_from([name for name in FIELDS if name != "image"]), anything)
def test_no_value_breaks_a_field(name: str, value: object) -> None:
    """Whatever a field holds, the request can be recorded or is refused."""
    request, _ = parsed({"image": URL, name: value})
    if request is not None:
        assert len(request.fingerprint) == 64
        assert json.dumps([request.parameters, request.metadata], ensure_ascii=False, allow_nan=False).encode()
