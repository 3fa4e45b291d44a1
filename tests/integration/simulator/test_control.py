"""The inspection API, and the Python interface beside it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import ValidationError

from worker.simulator import Simulator

SUBMIT = "/v2/sam-3d-objects"


def test_ledger_names_the_inputs(http: httpx.Client, submitted: str, photo: str) -> None:
    """The bill has the digest of the inputs as canonical JSON."""
    inputs = {"prompt": "dot", "seed": 7, "image": photo}
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    (row,) = http.get("/_simulator/ledger").json()["runs"]
    assert row["request_id"] == submitted
    assert row["inputs_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert (row["status"], row["cost"]) == ("QUEUED", 0)


def test_requests_are_counted_and_logged(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """Counts by call and answer; the log on demand, in order, with ids."""
    http.get(f"/v2/requests/{submitted}/status")
    http.get("/v2/requests/unknown/status")
    http.get("/nowhere")
    simulator.add_fault(call="status", kind="drop_answer")
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/v2/requests/{submitted}/status")
    found = http.get("/_simulator/requests", params={"log": 1}).json()
    assert found["calls"] == {
        "other": {"404": 1},
        "status": {"200": 1, "404": 1, "drop_answer": 1},
        "submit": {"200": 1},
    }
    assert [entry["request_id"] for entry in found["log"]] == [
        submitted,
        submitted,
        "unknown",
        None,
        submitted,
    ]
    assert simulator.requests() == {"total": 5, "calls": found["calls"]}


def test_faults_come_and_go(http: httpx.Client) -> None:
    """Rules are added, listed and dropped; a bad one is refused with its reason."""
    rule = {"call": "credits", "kind": "status", "http_status": 500, "count": 1}
    assert http.post("/_simulator/faults", json=[rule, rule]).json() == {"ids": [1, 2]}
    assert http.get("/v1/get-user-credits").status_code == 500
    assert [listed["fired"] for listed in http.get("/_simulator/faults").json()["faults"]] == [1, 0]
    http.delete("/_simulator/faults")
    assert http.get("/v1/get-user-credits").status_code == 200
    refused = http.post("/_simulator/faults", json={"call": "credits", "kind": "status"})
    assert (refused.status_code, "needs http_status" in refused.json()["error"]) == (400, True)


def test_settings_clock_and_reset(http: httpx.Client, submitted: str) -> None:
    """Settings can be patched, time advanced, everything forgotten."""
    changed = http.post("/_simulator/settings", json={"credits": 1, "run_time": 3}).json()
    assert (changed["credits"], changed["run_time"]["mean_seconds"]) == (1, 3)
    assert http.get("/v1/get-user-credits").json()["credits"] == 1
    http.post("/_simulator/clock", json={"advance_seconds": 3600})
    assert http.get(f"/v2/requests/{submitted}").status_code == 404
    http.post("/_simulator/reset")
    assert http.get("/_simulator/ledger").json() == {"runs": []}
    assert http.get("/v1/get-user-credits").json()["credits"] == 100


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("settings", {"colour": "red"}, "colour"),
        ("settings", [], "object"),
        ("clock", {"advance_seconds": "long"}, "advance_seconds"),
        ("history", ["row"], "history row"),
    ],
)
def test_bad_control_input(http: httpx.Client, path: str, body: object, said: str) -> None:
    """A mistake gets a 400 that names it."""
    answer = http.post(f"/_simulator/{path}", json=body)
    assert (answer.status_code, said in answer.json()["error"]) == (400, True)


def test_python_interface_refuses_nonsense(simulator: Simulator) -> None:
    """The Python interface checks like the HTTP one."""
    with pytest.raises(ValidationError):
        simulator.update(colour="red")
    with pytest.raises(ValidationError):
        simulator.add_fault(call="submit", kind="unheard_of")


def test_port_that_is_taken(simulator: Simulator) -> None:
    """A second one on the same port fails at once, and leaves nothing behind."""
    port = int(simulator.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="address already in use"), Simulator(port=port):
        pass


def test_polls_are_answered_while_models_are_made(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """Heavy work does not hold up light requests."""
    simulator.update(run_time=0)
    runs = [http.post(SUBMIT, json={"image": photo, "seed": seed}).json()["request_id"] for seed in range(4)]
    urls = [http.get(f"/v2/requests/{run}").json()["output"] for run in runs]
    with ThreadPoolExecutor(4) as pool:
        downloads = [pool.submit(httpx.get, url) for url in urls]
        while not all(download.done() for download in downloads):
            assert http.get(f"/v2/requests/{runs[0]}/status", timeout=2).status_code == 200
    assert {download.result().status_code for download in downloads} == {200}


def test_foreground_runs_until_a_signal() -> None:
    """`serve` says where it listens and ends on SIGTERM."""
    script = (
        "from worker.simulator import SimulatorSettings, serve\n"
        "serve('127.0.0.1', 0, SimulatorSettings(), lambda url: print(url, flush=True))\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert httpx.get(f"{url}/_simulator/ledger").json() == {"runs": []}
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
