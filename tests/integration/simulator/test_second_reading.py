"""What clients in production saw of the vendor, and what it may do wrong: settings and fault rules for each."""

from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from worker.simulator import Simulator

SUBMIT = "/v2/sam-3d-objects"
EXTRA = ["splat.ply", "scene.obj", "poses.json", "preview.png", "model.usdz", "notes.bin"]


def submit(http: httpx.Client, photo: str, **inputs: Any) -> str:
    """Submit a run and return its id."""
    answer = http.post(SUBMIT, json={"image": photo, **inputs})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


def test_the_older_api_has_its_own_word_for_credits(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """The blocking call answers 406 with balance and need, whatever /v2 does."""
    simulator.update(credits=0.01)
    answer = http.post("/v1/sam-3d-objects", json={"image": photo})
    assert answer.status_code == 406
    assert answer.json()["error"] == "Insufficient credits. Available balance: 0.0100, required: 0.0600"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 410, 413, 415, 422, 429, 451, 500, 502, 503])
def test_a_refusal_says_what_the_rule_says(simulator: Simulator, http: httpx.Client, photo: str, status: int) -> None:
    """A rule's message is the answer's sentence, with any status, and no run is started."""
    simulator.add_fault(call="submit", kind="status", http_status=status, message="no quota of cups")
    answer = http.post(SUBMIT, json={"image": photo, "prompt": "a quota of cups"})
    body = answer.json()
    assert answer.status_code == status
    assert body.get("error_description", body["error"]) == "no quota of cups"
    assert simulator.ledger() == []


def test_late_refusal(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A bad body gets an id, and 30 ms later it has failed, with the reason, for nothing."""
    simulator.add_fault(call="submit", kind="refuse_late", message="bounding_box is outside the image", prompt="bad")
    run = submit(http, photo, prompt="bad")
    simulator.advance(timedelta(seconds=0.03))
    answer = http.get(f"/v2/requests/{run}/status")
    assert (answer.status_code, answer.json()["status"]) == (422, "FAILED")
    assert answer.json()["error"] == "bounding_box is outside the image"
    assert simulator.ledger()[0]["cost"] == 0


@pytest.mark.parametrize(
    ("form", "status", "text"),
    [("status", 200, "QUEUED"), ("404", 404, "not found"), ("202", 202, "Accepted"), ("empty", 200, "")],
)
def test_unfinished_result(
    simulator: Simulator, http: httpx.Client, submitted: str, form: str, status: int, text: str
) -> None:
    """Before the end the result is what the setting says; after it, the result."""
    simulator.update(unfinished_result=form)
    answer = http.get(f"/v2/requests/{submitted}")
    assert (answer.status_code, text in answer.text) == (status, True)
    assert "output" not in answer.text
    assert http.get(f"/v2/requests/{submitted}/status").json()["status"] == "QUEUED"
    simulator.advance(timedelta(seconds=10))
    assert http.get(f"/v2/requests/{submitted}").json()["output"]


def test_ids_without_dashes(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """An id may be 32 digits; then it is known by no other form."""
    simulator.update(request_ids="hex")
    run = submit(http, photo)
    assert (len(run), "-" in run) == (32, False)
    assert http.get(f"/v2/requests/{run}/status").status_code == 200
    assert http.get(f"/v2/requests/{UUID(run)}/status").status_code == 404


def test_ids_are_known_late(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """All reads answer 404 for a new id, until they know it."""
    simulator.update(known_after_seconds=45)
    run = submit(http, photo)
    paths = [f"/v2/requests/{run}/status", f"/v2/requests/{run}", f"/v1/requests/{run}"]
    assert {http.get(path).status_code for path in paths} == {404}
    simulator.advance(timedelta(seconds=45))
    assert {http.get(path).status_code for path in paths} == {200}


def test_outputs_are_named_late(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """A run may be complete and have no output for a while."""
    simulator.update(output_delay_seconds=20)
    simulator.advance(timedelta(seconds=10))
    body = http.get(f"/v2/requests/{submitted}").json()
    assert (body["status"], body["output"]) == ("COMPLETED", None)
    simulator.advance(timedelta(seconds=20))
    assert http.get(f"/v2/requests/{submitted}").json()["output"]


@pytest.mark.parametrize("shape", ["url", "list", "object"])
def test_files_beside_the_model(simulator: Simulator, http: httpx.Client, submitted: str, shape: str) -> None:
    """Further outputs are in the result, can be downloaded, and have rows of their own."""
    simulator.update(extra_files=EXTRA, output_shape=shape)
    simulator.advance(timedelta(seconds=10))
    body = http.get(f"/v2/requests/{submitted}").json()
    urls = body["output"] if shape == "list" else [*body["output"].values()] if shape == "object" else []
    urls = urls or [value for value in body.values() if "/outputs/" in str(value)]
    assert [url.rpartition("/")[2] for url in urls] == ["model.glb", *EXTRA]
    assert {httpx.get(url).status_code for url in urls} == {200}
    rows = http.get("/inference-request/request-history").json()["data"]
    assert {row["generation_url"] for row in rows} == set(urls)


@pytest.mark.parametrize("path", ["/v2/requests/{id}/status", "/v2/requests/{id}", "/v1/requests/{id}"])
def test_other_result(simulator: Simulator, http: httpx.Client, submitted: str, photo: str, path: str) -> None:
    """A read may be answered with another run's body, which says so."""
    other = submit(http, photo, prompt="other")
    simulator.advance(timedelta(seconds=10))
    later = submit(http, photo, prompt="later")
    for call in ("status", "result", "legacy_status"):
        simulator.add_fault(call=call, kind="other_result", request_id=submitted)
    assert http.get(path.format(id=submitted)).json()["request_id"] == other
    assert http.get(path.format(id=later)).json()["request_id"] == later


def test_the_only_run_has_no_other(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """For want of another run the answer is right."""
    simulator.add_fault(call="status", kind="other_result")
    assert http.get(f"/v2/requests/{submitted}/status").json()["request_id"] == submitted


@pytest.mark.parametrize(("starts", "runs"), [(None, 2), (False, 1)])
def test_known_id(simulator: Simulator, http: httpx.Client, photo: str, *, starts: bool | None, runs: int) -> None:
    """A submit may be answered with an earlier run's id, whether or not one of its own is started and billed."""
    simulator.add_fault(call="submit", kind="known_id", starts_run=starts, skip=1, count=1)
    first = submit(http, photo, prompt="first")
    assert submit(http, photo, prompt="second") == first
    assert len(simulator.ledger()) == runs
    assert submit(http, photo, prompt="third") != first


def test_an_id_that_nobody_was_told_is_nobody_elses(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A run whose own submit was answered with another id, or not at all, is not given to the next one."""
    first = submit(http, photo)
    simulator.add_fault(call="submit", kind="html", count=1)
    http.post(SUBMIT, json={"image": photo})
    simulator.add_fault(call="submit", kind="known_id")
    assert [submit(http, photo) for _ in range(2)] == [first, first]
    assert len(simulator.ledger()) == 4


def test_the_first_run_has_no_earlier_id(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """With no earlier run, the submit is answered as ever."""
    simulator.add_fault(call="submit", kind="known_id", starts_run=False)
    assert submit(http, photo) == simulator.ledger()[0]["request_id"]


def test_answers_are_dated_by_the_simulators_clock(simulator: Simulator, http: httpx.Client) -> None:
    """An hour that was added is in the `Date` of every answer, the one written by hand too."""
    simulator.add_fault(call="credits", kind="slow_headers", bytes_per_second=10000, skip=1)
    before = parsedate_to_datetime(http.get("/v2/requests/nobody").headers["date"])
    simulator.advance(timedelta(hours=1))
    for path in ("/v1/get-user-credits", "/v1/get-user-credits", "/_simulator/clock", "/nowhere"):
        passed = parsedate_to_datetime(http.get(path).headers["date"]) - before
        assert timedelta(minutes=59) < passed < timedelta(minutes=61)
