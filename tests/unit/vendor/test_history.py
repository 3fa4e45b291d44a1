"""What the vendor's request history says: its pages in whatever form, its rows, and marks of their inputs."""

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.rules.presigned import mark_of_place
from worker.rules.run import Listed, RemoteStatus
from worker.vendor.history import created, digest_inputs, join, mark_inputs, read_page, read_rows
from worker.vendor.received import read_reset

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
UNZONED = NOW.replace(tzinfo=None)
SECOND = timedelta(seconds=1)
INPUTS = {"image": "https://example.com/cat.png", "prompt": "m4rk3r"}
MODEL, ZIP = "https://files.segmind.com/model.glb", "https://files.segmind.com/artifacts.zip"


def row(request_id: object = "run-1", **fields: Any) -> dict[str, Any]:
    """Return a row as the vendor's SDK describes it; a field that is `...` is left out."""
    known: dict[str, object] = {
        "request_id": request_id, "model_name": "sam-3d-objects", "model_status": "COMPLETED",
        "credits_deduction": 0.06, "request_body": INPUTS, "generation_url": MODEL, "latency_ms": 31_700,
        "model_created": NOW.isoformat(), "error": None, "user_id": "me",
    }  # fmt: skip
    return {name: value for name, value in (known | fields).items() if value is not ...}


def only(rows: list[dict[str, Any]]) -> Listed:
    """Return the one request that some rows are of."""
    [listed] = read_rows(rows).requests.values()
    return listed


# Pages: how rows are wrapped in a page is not documented.


@pytest.mark.parametrize(
    "body",
    [
        [row()],
        {"data": [row()]},
        {"whatever": [row()], "page": 1, "total": 1, "next": None},
        {"data": row()},
        {"data": row(), "user": {"id": "me"}},
        row(),
        row(outputs=[{"url": MODEL}]),
    ],
    ids=["list", "data", "any key", "row under a key", "row beside an object", "row", "row that holds a list"],
)
def test_rows_are_found_however_they_are_wrapped(body: object) -> None:
    """A bare list, an object that holds one list of objects, a row."""
    rows = read_page(body)
    assert rows is not None
    assert [each["request_id"] for each in rows] == ["run-1"]


@pytest.mark.parametrize("body", [[], {"data": []}, {"data": [], "page": 2}])
def test_an_empty_page_is_a_page(body: object) -> None:
    """It is the end of the list, and no sign that the history is another one."""
    assert read_page(body) == []


@pytest.mark.parametrize(
    "body",
    [
        None, 5, "<html>", True, {}, {"error": "x"}, ["x"], [None], {"data": None}, {"data": ["x"]},
        {"data": [row()], "filters": []}, {"rows": [row()], "more": [row("run-2")]}, {"a": row(), "b": row()},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_page_is_not_taken_for_an_empty_one(body: object) -> None:
    """It would prove that requests are absent which are not; of two lists nobody knows which it is."""
    assert read_page(body) is None


# Rows: what a row says of a request.


def test_a_row_as_the_sdk_describes_it() -> None:
    """Everything that is needed to adopt or to rescue a run."""
    assert only([row()]) == Listed(
        "run-1", NOW, RemoteStatus.COMPLETED, mark_inputs(INPUTS), "me", 0.06, None, (MODEL,), "sam-3d-objects",
        places={"image": mark_of_place(str(INPUTS["image"]))},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        ({"image": "https://x/y.png?e=1", "mask": "http://x/z#a"}, {"image": "https://x/y.png", "mask": "http://x/z"}),
        ({"image": "a" * 200, "prompt": "https://x/y", "mask": None}, {}),
        ({"image": ["https://x"], "mask": 5}, {}),
        ("https://x", {}),
    ],
    ids=["urls", "bytes", "odd", "no object"],
)
def test_where_the_files_of_a_row_are(sent: object, places: dict[str, str]) -> None:
    """Those that it shows by a URL, without what is signed."""
    found = only([row(request_body=sent)]).places
    assert found == {name: mark_of_place(url) for name, url in places.items()}


def test_rows_of_several_outputs_are_one_request() -> None:
    """Each output has a row; one that comes twice counts once."""
    rows = [row(), row(generation_url=ZIP), row(), row("run-2")]
    assert {each.request_id: each.addresses for each in read_rows(rows).requests.values()} == {
        "run-1": (MODEL, ZIP),
        "run-2": (MODEL,),
    }


def test_rows_of_one_request_may_be_on_two_pages() -> None:
    """The outputs of both belong to it."""
    both = join(read_rows([row(), row("run-2")]).requests, read_rows([row(generation_url=ZIP), row("run-3")]).requests)
    assert set(both) == {"run1", "run2", "run3"}
    assert both["run1"].addresses == (MODEL, ZIP)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("COMPLETED", RemoteStatus.COMPLETED),
        ("FAILED", RemoteStatus.FAILED),
        ("PENDING", RemoteStatus.PROCESSING),
        ("MELTING", RemoteStatus.UNRECOGNISED),
        (None, RemoteStatus.UNRECOGNISED),
        (5, RemoteStatus.UNRECOGNISED),
    ],
)
def test_statuses(word: object, status: RemoteStatus) -> None:
    """The history has one word for all that is not over; one that nobody knows has not ended."""
    assert only([row(model_status=word)]).status is status


@pytest.mark.parametrize(
    "fields",
    [{"request_id": value} for value in (..., None, 5, "", "a/b", "../x", "a b", "x" * 200)]
    + [{"model_created": value} for value in (..., None, 5, "", "yesterday", "2026-13-01", 1767268800)],
    ids=str,
)
def test_a_row_that_can_not_be_placed_is_left_out(fields: dict[str, Any]) -> None:
    """Without an id that can be followed, or a time, there is nothing to adopt; the rows beside it count."""
    look = read_rows([row("run-9"), row(**fields)])
    assert (set(look.requests), look.is_complete) == ({"run9"}, False)


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        *(({"credits_deduction": odd}, "cost", None) for odd in (..., None, "0.06")),
        ({"credits_deduction": 1}, "cost", 1),
        *(({"user_id": odd}, "user", None) for odd in (..., None)),
        ({"user_id": 7}, "user", "7"),
        *(({"error": odd}, "error", None) for odd in (..., None, 5, {"message": "x"})),
        ({"error": "no object"}, "error", "no object"),
        *(({"generation_url": odd}, "addresses", ()) for odd in (..., None, "", 5, "model.glb", "ftp://x/y")),
        ({"generation_url": [MODEL, ZIP]}, "addresses", (MODEL, ZIP)),
        ({"generation_url": {"model": MODEL}}, "addresses", (MODEL,)),
    ],
)
def test_what_a_row_lacks_is_unknown(fields: dict[str, Any], attribute: str, value: object) -> None:
    """It is not made up, and the rest of the row counts."""
    assert getattr(only([row(**fields)]), attribute) == value


def test_a_request_does_not_show_its_addresses() -> None:
    """Whoever has the address of an output can read it; an error may quote the prompt."""
    shown = repr(only([row(error="m4rk3r")]))
    assert MODEL not in shown
    assert "m4rk3r" not in shown


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({"model_created": "2026-01-01T12:00:00Z"}, NOW),
        ({"model_created": "2026-01-01T12:00:00"}, UNZONED),
        ({"model_created": "2026-01-01 12:00:00.250"}, UNZONED + SECOND / 4),
        ({"model_created": "2026-01-01T14:00:00+02:00"}, NOW),
        ({"created_at": "2026-01-01T12:00:00"}, UNZONED),
        ({"created": "2026-01-01T12:00:00"}, UNZONED),
        ({"timestamp": "2026-01-01T12:00:00"}, UNZONED),
        ({"model_created": None, "created_at": "2026-01-01T12:00:00"}, UNZONED),
        ({"model_created": "2026-01-01T12:00:00", "timestamp": "2020-01-01"}, UNZONED),
        ({"model_created": "soon"}, None),
        ({"model_updated": "2026-01-01T12:00:00"}, None),
        ({}, None),
    ],
)
def test_when_a_request_was_made(fields: Mapping[str, object], moment: datetime | None) -> None:
    """ISO 8601, with a zone or without; when it was changed is another thing."""
    assert created(fields) == moment


@pytest.mark.parametrize(("text", "has_zone"), [("2026-01-01T12:00:00", False), ("2026-01-01T12:00:00Z", True)])
def test_a_time_without_a_zone_counts_as_utc(text: str, *, has_zone: bool) -> None:
    """Until it is learnt what zone it is of: the row says that it has none."""
    assert (only([row(model_created=text)]).created_at, only([row(model_created=text)]).has_zone) == (NOW, has_zone)


# Inputs: whether two bodies ask for the same is all that the digest says.


@pytest.mark.parametrize(
    "listed",
    [
        INPUTS | {"seed": 123},
        INPUTS | {"include_artifacts": False},
        INPUTS | {"seed": 123, "include_artifacts": False, "mask": None, "point_coords": None},
        INPUTS | {"seed": None, "model": "sam-3d-objects", "webhook": None, "extra": {"a": 1}},
        dict(reversed(INPUTS.items())),
    ],
)
def test_a_default_is_the_same_sent_or_not(listed: dict[str, object]) -> None:
    """So is what is no parameter of the model, and the order of the fields."""
    assert digest_inputs(listed) == digest_inputs(INPUTS)
    assert only([row(request_body=listed)]).inputs == mark_inputs(INPUTS)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "https://example.com/dog.png"}, {"mask": "x"}, {"prompt": "car"}, {"prompt": None}, {"seed": 7},
        {"seed": "123"}, {"include_artifacts": True}, {"bounding_box": "[1, 2, 3, 4]"}, {"point_coords": "[[1,2]]"},
    ],
    ids=str,
)  # fmt: skip
def test_other_inputs_are_another_request(change: dict[str, object]) -> None:
    """A run of them is not this job's."""
    assert digest_inputs(INPUTS | change) != digest_inputs(INPUTS)
    assert mark_inputs(INPUTS | change) != mark_inputs(INPUTS)


@pytest.mark.parametrize("body", [None, "text", [], [["image", "x"]], 5])
def test_inputs_that_can_not_be_read_are_nobodys(body: object) -> None:
    """They are equal to none."""
    assert only([row(request_body=body)]).inputs is None


def test_inputs_that_are_nested_too_deep_are_nobodys() -> None:
    """They stop no look at the history."""
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert only([row(request_body={"image": nested})]).inputs is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [("https://example.com/cat.png", "url"), ("cat", "text"), ("x" * 101, "long"), (7, "value"), (["x"], "value")],
)
def test_a_mark_says_of_what_kind_a_value_is(value: object, kind: str) -> None:
    """And nothing of what it is."""
    mark = mark_inputs({"prompt": value})["prompt"]
    assert mark.partition(":")[0] == kind
    assert "cat" not in mark


def test_a_photo_has_the_mark_of_its_base64() -> None:
    """It is sent as that, and the history shows what was sent."""
    for content in (b"\x89PNG", b"\x89PNG" * 100_000):
        text = b64encode(content).decode()
        as_bytes, as_text = ({"image": each, "prompt": "é", "seed": 5} for each in (content, text))
        assert mark_inputs(as_bytes) == mark_inputs(as_text)
        assert digest_inputs(as_bytes) == digest_inputs(as_text)


NOT_OF_OUR_TIME = ["0001-01-01T00:00:00+14:00", "0001-01-01", "9999-12-31T23:59:59-12:00", "9999-12-31", "1970-01-01"]


@pytest.mark.parametrize("text", NOT_OF_OUR_TIME)
def test_a_time_at_the_ends_of_all_is_none(text: str) -> None:
    """What is reckoned with it would be no time any more."""
    assert read_reset(text) is None
    assert created({"created_at": text}) is None
    assert read_rows([{"request_id": "run-1", "created_at": text}]).requests == {}


def test_times_of_ours_can_be_reckoned_with() -> None:
    """A year either way is one."""
    read = [created({"created_at": "2999-12-31T23:59:59+14:00"}), created({"created_at": "2001-01-01T00:00:00-12:00"})]
    for moment in read:
        assert moment is not None
        assert isinstance(moment.astimezone(UTC) + timedelta(days=365), datetime)
        assert isinstance(moment.astimezone(UTC) - timedelta(days=365), datetime)


@pytest.mark.parametrize("name", ["model_name", "user_id"])
def test_a_name_is_cut(name: str) -> None:
    """Its beginning tells it from others."""
    row = {"request_id": "run-1", "created_at": "2026-01-01T00:00:00Z", name: "x" * 10**6}
    [listed] = read_rows([row]).requests.values()
    assert {len(each) for each in (listed.model, listed.user) if each} == {100}
