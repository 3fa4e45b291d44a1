"""Each kind of fault, as a client sees it, and whether a run was started."""

import io
import json
import time
import zipfile
from datetime import timedelta
from typing import Any

import httpx
import pytest

from worker.simulator import Simulator

SUBMIT = "/v2/sam-3d-objects"


@pytest.fixture
def completed(simulator: Simulator, submitted: str) -> str:
    """Return the id of a run that is complete."""
    simulator.advance(timedelta(seconds=10))
    return submitted


def output_of(http: httpx.Client, run: str) -> str:
    """Return the address of a run's model."""
    return str(http.get(f"/v2/requests/{run}").json()["output"])


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 410, 422, 429, 500, 502, 503, 504])
def test_status_on_submit(simulator: Simulator, http: httpx.Client, photo: str, status: int, *, starts: bool) -> None:
    """Any status can be answered, with or without a run behind it."""
    simulator.add_fault(call="submit", kind="status", http_status=status, starts_run=starts, count=1)
    answer = http.post(SUBMIT, json={"image": photo})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html" if status in {405, 502, 504} else "application/json")
    assert len(simulator.ledger()) == starts
    assert http.post(SUBMIT, json={"image": photo}).status_code == 200


def test_status_with_own_body_and_headers(simulator: Simulator, http: httpx.Client) -> None:
    """A rule can bring its own body."""
    simulator.add_fault(call="credits", kind="status", http_status=406, body={"error": "no"}, headers={"x-extra": "1"})
    answer = http.get("/v1/get-user-credits")
    assert (answer.status_code, answer.json(), answer.headers["x-extra"]) == (406, {"error": "no"}, "1")


@pytest.mark.parametrize(
    ("rule", "runs"),
    [
        ({"kind": "reset"}, 0),
        ({"kind": "reset", "starts_run": True}, 1),
        ({"kind": "drop_answer"}, 1),
        ({"kind": "truncate"}, 1),
    ],
)
def test_connection_breaks_on_submit(
    simulator: Simulator, http: httpx.Client, photo: str, rule: dict[str, Any], runs: int
) -> None:
    """The client learns nothing; the bill knows."""
    simulator.add_fault(call="submit", **rule)
    with pytest.raises((httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)):
        http.post(SUBMIT, json={"image": photo})
    assert len(simulator.ledger()) == runs


@pytest.mark.parametrize(("starts", "runs"), [(None, 0), (True, 1)])
def test_hang(simulator: Simulator, http: httpx.Client, photo: str, *, starts: bool | None, runs: int) -> None:
    """Nothing comes until the client gives up."""
    simulator.add_fault(call="submit", kind="hang", starts_run=starts)
    with pytest.raises(httpx.ReadTimeout):
        http.post(SUBMIT, json={"image": photo}, timeout=0.1)
    assert len(simulator.ledger()) == runs


@pytest.mark.parametrize("kind", ["slow_bytes", "slow_headers"])
def test_slow_answers(simulator: Simulator, http: httpx.Client, kind: str) -> None:
    """Bytes come one by one, and at last all of them."""
    simulator.add_fault(call="credits", kind=kind, bytes_per_second=500)
    started_at = time.monotonic()
    assert http.get("/v1/get-user-credits").json()["credits"] == 100
    assert time.monotonic() - started_at > 0.05


def test_wrong_bodies_on_submit(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A 2xx that says nothing useful still started a run."""
    kinds = ["html", "wrong_json", "broken_json", "missing_id", "empty"]
    for kind in kinds:
        simulator.add_fault(call="submit", kind=kind, count=1)
    answers = [http.post(SUBMIT, json={"image": photo}) for _ in kinds]
    assert {answer.status_code for answer in answers} == {200}
    assert "<html>" in answers[0].text
    assert isinstance(answers[1].json(), list)
    with pytest.raises(json.JSONDecodeError):
        answers[2].json()
    assert answers[3].json() == {"status": "QUEUED"}
    assert answers[4].content == b""
    assert len(simulator.ledger()) == len(kinds)


def test_wrong_content_of_records(simulator: Simulator, http: httpx.Client, completed: str) -> None:
    """Status and result can lie."""
    simulator.add_fault(call="status", kind="unknown_status", message="MELTING")
    simulator.add_fault(call="result", kind="no_output", count=1)
    simulator.add_fault(call="result", kind="output_url", url="http://10.0.0.1/x.glb", count=1)
    simulator.add_fault(call="result", kind="gone")
    assert http.get(f"/v2/requests/{completed}/status").json()["status"] == "MELTING"
    answers = [http.get(f"/v2/requests/{completed}") for _ in range(3)]
    assert "output" not in answers[0].json()
    assert answers[1].json()["output"] == "http://10.0.0.1/x.glb"
    assert answers[2].status_code == 404


def test_redirect_of_a_submit(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A redirect names its place and starts nothing."""
    simulator.add_fault(call="submit", kind="redirect", url="http://127.0.0.1:9/")
    answer = http.post(SUBMIT, json={"image": photo})
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/")
    assert simulator.ledger() == []


def test_floods(simulator: Simulator, http: httpx.Client, completed: str) -> None:
    """Bodies can be huge, endless, or explode when unpacked."""
    url = output_of(http, completed)
    simulator.add_fault(call="download", kind="huge_body", size=1_000_000, count=1)
    assert len(http.get(url).content) == 1_000_000
    simulator.add_fault(call="download", kind="gzip_bomb", size=8 * 2**20, count=1)
    with http.stream("GET", url) as answer:
        raw = b"".join(answer.iter_raw())
    assert len(raw) < 100_000
    simulator.add_fault(call="download", kind="gzip_bomb", size=8 * 2**20, count=1)
    assert len(http.get(url).content) == 8 * 2**20
    simulator.add_fault(call="download", kind="endless_body", count=1)
    with http.stream("GET", url) as answer:
        assert sum(len(chunk) for chunk, _ in zip(answer.iter_raw(), range(50), strict=False)) > 10**5


def test_broken_downloads(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A model can be no model, and a ZIP can have names that lead elsewhere."""
    simulator.update(run_time=0)
    run = http.post(SUBMIT, json={"image": photo, "include_artifacts": True}).json()["request_id"]
    url = output_of(http, run)
    simulator.add_fault(call="download", kind="wrong_magic", count=1)
    assert http.get(url).content[:4] == b"oops"
    simulator.add_fault(call="download", kind="bad_zip", count=1)
    names = zipfile.ZipFile(io.BytesIO(http.get(url.replace("model.glb", "artifacts.zip")).content)).namelist()
    assert "../outside.txt" in names
    simulator.add_fault(call="download", kind="truncate", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(url)


def test_fates_of_runs(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A run can be doomed by its prompt, to fail or never to end."""
    simulator.add_fault(call="submit", kind="fail_job", prompt="bad", message="content blocked")
    simulator.add_fault(call="submit", kind="never_ends", prompt="slow")
    for prompt in ("good", "bad", "slow"):
        http.post(SUBMIT, json={"image": photo, "prompt": prompt})
    simulator.advance(timedelta(days=1))
    ledger = {row["prompt"]: (row["status"], row["cost"]) for row in simulator.ledger()}
    assert ledger == {"good": ("COMPLETED", 0.06), "bad": ("FAILED", 0), "slow": ("PROCESSING", 0)}


def test_rule_for_one_run(simulator: Simulator, http: httpx.Client, submitted: str, photo: str) -> None:
    """A rule for a request id leaves the others alone."""
    other = http.post(SUBMIT, json={"image": photo}).json()["request_id"]
    simulator.add_fault(call="status", kind="gone", request_id=submitted)
    assert http.get(f"/v2/requests/{submitted}/status").status_code == 404
    assert http.get(f"/v2/requests/{other}/status").status_code == 200
