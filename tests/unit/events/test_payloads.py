"""What an announcement says, and that it is a CloudEvent which a client can read."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from worker.errors import HoldCause
from worker.events.payloads import change_payload
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger
from worker.rules.outcome import Advance, Change, Doubt, Fail, Hold, Learnt, Snooze, decide
from worker.rules.output_files import StoredFile

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.SUBMITTING, 1, {}, {"order": 7}, 0, 0, 3, "run", NOW - timedelta(seconds=40), NOW)
METRICS = {"cost": 0.06, "queue_time": 1.0, "inference_time": 30.7, "total_time": 31.7}
GLB = StoredFile("model.glb", "model/gltf-binary", 100, "ab" * 32, "database:output")
STORED = [{"id": 5, "name": "model.glb", "media_type": "model/gltf-binary", "bytes": 100, "sha256": "ab" * 32}]

CHANGES = [
    decide(JobState.SUBMITTING, 0, Advance(Trigger.ANSWERED, learnt=Learnt(request_id="run"))),
    decide(JobState.FETCHING, 0, Advance(Trigger.STORED, learnt=Learnt(metrics=METRICS), files=(GLB,))),
    decide(JobState.SUBMITTING, 0, Fail(Trigger.REFUSED, "remote_refused", "Why.")),
    decide(JobState.SUBMITTING, 0, Fail(Trigger.UNTOLD, "submit_unknown", "Why.")),
    decide(JobState.SUBMITTING, 0, Snooze(timedelta(0), "x")),
    decide(JobState.SUBMITTING, 0, Hold(HoldCause.KEY, "x")),
    decide(JobState.SUBMITTING, 0, Doubt("x")),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.trigger.value)
def test_each_payload_names_the_job_and_gives_the_metadata_back(change: Change) -> None:
    """A sender can tell its jobs apart by either; and it is plain JSON."""
    payload = change_payload(JOB, change)
    assert (payload["job_id"], payload["state"], payload["metadata"]) == ("job", change.state, {"order": 7})
    assert json.dumps(payload, allow_nan=False)


def test_a_success_says_what_was_made_and_what_it_cost() -> None:
    """Enough to fetch the files and to check them."""
    payload = change_payload(JOB, CHANGES[1], STORED)
    [output] = payload["outputs"]
    assert {name: output[name] for name in ("name", "media_type", "bytes", "sha256")} == {
        "name": "model.glb", "media_type": "model/gltf-binary", "bytes": 100, "sha256": "ab" * 32,
    }  # fmt: skip
    assert set(output["get"]) == {"cli", "python"}
    assert payload["cost"] == {"amount": 0.06, "currency": "USD"}
    assert payload["timings"] == {
        "queue_time": 1.0, "inference_time": 30.7, "total_time": 31.7, "seconds_since_submit": 40.0, "polls": 3,
    }  # fmt: skip


def test_a_success_says_what_could_not_be_had() -> None:
    """As an output without bytes, so that nobody waits for it."""
    learnt = Learnt(missing=[{"name": "file.zip", "reason": "The file host answers 404."}])
    change = decide(JobState.FETCHING, 0, Advance(Trigger.STORED, learnt=learnt, files=(GLB,)))
    model, missing = change_payload(JOB, change, STORED)["outputs"]
    assert (model["missing"], missing["missing"]) == (None, "The file host answers 404.")
    assert (missing["name"], missing["sha256"], missing["get"]) == ("file.zip", None, None)


def test_a_success_without_metrics() -> None:
    """What the vendor did not say is null, not left out."""
    change = decide(JobState.FETCHING, 0, Advance(Trigger.STORED, files=(GLB,)))
    payload = change_payload(JOB, change)
    assert payload["cost"]["amount"] is None
    assert payload["timings"]["total_time"] is None


@pytest.mark.parametrize(("change", "code"), [(CHANGES[2], "remote_refused"), (CHANGES[3], "submit_unknown")])
def test_a_failure_says_why(change: Change, code: str) -> None:
    """A stable code for programs, a sentence for people."""
    assert change_payload(JOB, change)["error"] == {"code": code, "message": "Why.", "field": None}


def test_a_submit_says_which_run_it_is() -> None:
    """The vendor's id helps whoever asks the vendor."""
    assert change_payload(JOB, CHANGES[0])["request_id"] == "run"
