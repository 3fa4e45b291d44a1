"""What the vendor's request history says: its pages in whatever form, and what they prove of a doubted submit."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.answers import RemoteStatus
from worker.history import (
    CLOCKS_DIFFER,
    Doubted,
    Evidence,
    Finding,
    Listed,
    Look,
    Sent,
    created,
    digest_inputs,
    join,
    read_page,
    read_rows,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
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
        "run-1", NOW, RemoteStatus.COMPLETED, digest_inputs(INPUTS), "me", 0.06, None, (MODEL,), "sam-3d-objects"
    )


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
    assert set(both) == {"run-1", "run-2", "run-3"}
    assert both["run-1"].addresses == (MODEL, ZIP)


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
    assert (set(look.requests), look.is_complete) == ({"run-9"}, False)


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
        ({"model_created": "2026-01-01T12:00:00"}, NOW),
        ({"model_created": "2026-01-01 12:00:00.250"}, NOW + SECOND / 4),
        ({"model_created": "2026-01-01T14:00:00+02:00"}, NOW),
        ({"created_at": "2026-01-01T12:00:00"}, NOW),
        ({"created": "2026-01-01T12:00:00"}, NOW),
        ({"timestamp": "2026-01-01T12:00:00"}, NOW),
        ({"model_created": None, "created_at": "2026-01-01T12:00:00"}, NOW),
        ({"model_created": "2026-01-01T12:00:00", "timestamp": "2020-01-01"}, NOW),
        ({"model_created": "soon"}, None),
        ({"model_updated": "2026-01-01T12:00:00"}, None),
        ({}, None),
    ],
)
def test_when_a_request_was_made(fields: Mapping[str, object], moment: datetime | None) -> None:
    """ISO 8601, UTC if it does not say; when it was changed is another thing."""
    assert created(fields) == moment


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
    assert only([row(request_body=listed)]).inputs_sha256 == digest_inputs(INPUTS)


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


@pytest.mark.parametrize("body", [None, "text", [], [["image", "x"]], 5])
def test_inputs_that_can_not_be_read_are_nobodys(body: object) -> None:
    """They are equal to none."""
    assert only([row(request_body=body)]).inputs_sha256 == ""


def test_inputs_that_are_nested_too_deep_are_nobodys() -> None:
    """They stop no look at the history."""
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert only([row(request_body={"image": nested})]).inputs_sha256 == ""


DIGEST = digest_inputs(INPUTS)
OTHER = digest_inputs({"image": "https://example.com/other.png"})
INTENDED, OVER = NOW, NOW + 5 * SECOND
SETTLE = timedelta(minutes=1)
AT_LAST = OVER + SETTLE
DOUBTED = Doubted(DIGEST, False, INTENDED, OVER, is_over=True, was_absent=False)
LATER = Sent("later", OTHER, is_inline=False, intended_at=OVER)


def listed(request_id: str, at: datetime = INTENDED + SECOND, inputs: str = DIGEST, user: str | None = "me") -> Listed:
    """Return a request of the history."""
    return Listed(request_id, at, RemoteStatus.PROCESSING, inputs, user, None, None, ())


def evidence(*requests: Listed, claimed: frozenset[str] = frozenset(), sent: tuple[Sent, ...] = (LATER,)) -> Evidence:
    """Return a complete look at these requests and that of a later submit of ours, long enough after."""
    shown = {each.request_id: each for each in (listed("later", OVER + SECOND, OTHER), *requests)}
    return Evidence(Look(shown, is_complete=True), sent, claimed, AT_LAST, SETTLE)


# Found: a run of the inputs, in the time of the submit, that no job has.


def test_a_run_is_found() -> None:
    """And named."""
    proof = evidence(listed("run")).judge(DOUBTED)
    assert (proof.finding, proof.request) == (Finding.FOUND, listed("run"))


@pytest.mark.parametrize(
    ("at", "is_found"),
    [
        (INTENDED - CLOCKS_DIFFER - SECOND, False),
        (INTENDED - CLOCKS_DIFFER, True),
        (INTENDED, True),
        (OVER, True),
        (OVER + CLOCKS_DIFFER, True),
        (OVER + CLOCKS_DIFFER + SECOND, False),
    ],
)
def test_a_run_is_found_only_in_the_time_of_the_submit(at: datetime, *, is_found: bool) -> None:
    """As far as two clocks may differ: one of last week is not this job's."""
    assert (evidence(listed("run", at)).judge(DOUBTED).finding is Finding.FOUND) == is_found


def test_a_run_of_another_job_is_not_found() -> None:
    """Each run is one job's."""
    assert evidence(listed("run"), claimed=frozenset({"run"})).judge(DOUBTED).finding is Finding.ABSENT


@pytest.mark.parametrize("inputs", [OTHER, ""])
def test_a_run_of_other_inputs_is_not_found(inputs: str) -> None:
    """Nor of some that can't be read."""
    assert evidence(listed("run", inputs=inputs)).judge(DOUBTED).finding is not Finding.FOUND


@pytest.mark.parametrize("own", ["me", None])
@pytest.mark.parametrize(("user", "is_found"), [("me", True), (None, True), ("colleague", False)])
def test_a_run_of_another_member_of_the_team_is_not_found(user: str | None, own: str | None, *, is_found: bool) -> None:
    """Once it is known from a run that a job has who we are; before that any is taken."""
    known = listed("known", NOW - SECOND, OTHER, own)
    proof = evidence(listed("run", user=user), known, claimed=frozenset({"known"})).judge(DOUBTED)
    assert (proof.finding is Finding.FOUND) == (is_found or own is None)


def test_the_oldest_run_is_found_first() -> None:
    """Equal ones are as good, and so each is given away before it expires."""
    seconds = (3, 1, 2)
    runs = [listed(f"run-{second}", INTENDED + second * SECOND) for second in seconds]
    proof = evidence(*runs).judge(DOUBTED)
    assert proof.request
    assert proof.request.request_id == "run-1"


@pytest.mark.parametrize(
    "doubted", [replace(DOUBTED, is_over=False), replace(DOUBTED, was_absent=True)], ids=["lives", "was absent"]
)
def test_a_run_is_found_whatever_else_is_not_proven(doubted: Doubted) -> None:
    """What is listed exists: it needs no other proof, and is adopted at once."""
    early = replace(evidence(listed("run"), sent=()), now=INTENDED)
    hurried = replace(early, look=replace(early.look, is_complete=False))
    assert hurried.judge(doubted).finding is Finding.FOUND


LACKING: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "a page is missing": ({"look": Look({"later": listed("later", inputs=OTHER)}, is_complete=False)}, {}),
    "its process lives": ({}, {"is_over": False}),
    "its row may still land": ({"now": AT_LAST - SECOND}, {}),
    "no other submit was made": ({"sent": ()}, {}),
    "the other submit is not listed": ({"look": Look({}, is_complete=True)}, {}),
    "the other one was made before it": ({"sent": (replace(LATER, intended_at=OVER - SECOND),)}, {}),
    "the other one is of another kind": ({"sent": (replace(LATER, is_inline=True),)}, {}),
    "it is of the other kind": ({}, {"is_inline": True}),
    "inputs are not listed as sent": ({"sent": (replace(LATER, inputs_sha256=DIGEST),)}, {}),
    "inputs can not be read": ({"look": Look({"later": listed("later", inputs="")}, is_complete=True)}, {}),
    "it was absent once before": ({}, {"was_absent": True}),
}
"""Each condition of a proof of absence, taken away: in the evidence, or in what is known of the submit."""


# Absent: a submit is absent, and repeated, only where everything is proven.


@pytest.mark.parametrize("is_inline", [True, False])
def test_a_submit_is_absent(*, is_inline: bool) -> None:
    """A later submit of the same kind is listed as it was sent, and this one is not, long after it was over."""
    proof = evidence(sent=(replace(LATER, is_inline=is_inline),)).judge(replace(DOUBTED, is_inline=is_inline))
    assert (proof.finding, proof.request) == (Finding.ABSENT, None)


@pytest.mark.parametrize("lacking", LACKING)
def test_one_condition_less_leaves_it_open(lacking: str) -> None:
    """And each case says why in words of its own."""
    of_evidence, of_doubted = LACKING[lacking]
    proof = replace(evidence(), **of_evidence).judge(replace(DOUBTED, **of_doubted))
    assert (proof.finding, proof.request) == (Finding.OPEN, None)
    assert proof.why


def test_one_good_proof_among_bad_ones_is_enough() -> None:
    """An older submit, one that is not listed and one of another kind prove nothing, and do no harm."""
    bad = replace(LATER, intended_at=INTENDED), replace(LATER, request_id="x"), replace(LATER, is_inline=True)
    assert evidence(sent=(*bad, LATER)).judge(DOUBTED).finding is Finding.ABSENT


@given(
    requests=st.lists(
        st.builds(
            listed,
            st.sampled_from(["later", "a", "b"]),
            st.sampled_from([NOW - timedelta(days=1), INTENDED, OVER, OVER + CLOCKS_DIFFER * 2]),
            st.sampled_from([DIGEST, OTHER, ""]),
            st.sampled_from(["me", "colleague", None]),
        ),
        max_size=3,
    ),
    sent=st.lists(
        st.builds(
            Sent,
            st.sampled_from(["later", "a"]),
            st.sampled_from([DIGEST, OTHER]),
            st.booleans(),
            st.sampled_from([INTENDED, OVER]),
        ),
        max_size=2,
    ),
    claimed=st.frozensets(st.sampled_from(["later", "a", "b"])),
    is_complete=st.booleans(),
    now=st.sampled_from([OVER, AT_LAST - SECOND, AT_LAST]),
    doubted=st.builds(
        Doubted, st.just(DIGEST), st.booleans(), st.just(INTENDED), st.just(OVER), st.booleans(), st.booleans()
    ),
)
def test_nothing_is_absent_unless_all_is_proven(
    requests: list[Listed],
    sent: list[Sent],
    claimed: frozenset[str],
    is_complete: bool,
    now: datetime,
    doubted: Doubted,
) -> None:
    """Whatever the history shows: no fitting run is free, and each condition holds."""
    shown = {each.request_id: each for each in requests}
    proof = Evidence(Look(shown, is_complete), sent, claimed, now, SETTLE).judge(doubted)
    if proof.finding is not Finding.ABSENT:
        return
    assert is_complete
    assert doubted.is_over
    assert not doubted.was_absent
    assert now >= doubted.over_at + SETTLE
    proofs = [each for each in sent if each.intended_at >= OVER and each.is_inline == doubted.is_inline]
    assert any(
        shown[each.request_id].inputs_sha256 == each.inputs_sha256 for each in proofs if each.request_id in shown
    )
    free = [each for each in requests if shown[each.request_id] is each and each.request_id not in claimed]
    own = [each for each in free if each.user in {"me", None} or not claimed & shown.keys()]
    assert not [each for each in own if each.inputs_sha256 == DIGEST and INTENDED <= each.created_at <= OVER]


def test_a_run_whose_inputs_can_not_be_read_may_be_the_one() -> None:
    """A row of the submit's time that nobody can compare keeps it from being absent."""
    assert evidence(listed("run", inputs="")).judge(DOUBTED).finding is Finding.OPEN


def test_a_run_that_nobody_is_known_for_may_be_the_one() -> None:
    """A row of our model with other inputs, as the vendor may write ours otherwise, keeps it from being absent."""
    assert evidence(listed("stray", inputs=OTHER)).judge(DOUBTED).finding is Finding.OPEN
    assert evidence(replace(listed("stray", inputs=OTHER), model="another")).judge(DOUBTED).finding is Finding.ABSENT


def test_clocks_that_can_not_be_compared_prove_nothing() -> None:
    """A later submit that is listed at a time that is not its own tells nothing of the times of others."""
    off = listed("later", OVER + timedelta(hours=5), OTHER)
    assert evidence(off).judge(DOUBTED).finding is Finding.OPEN
