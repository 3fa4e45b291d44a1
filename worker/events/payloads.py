"""What each announcement says."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.rules.job import Job
from worker.rules.lifecycle import JobState
from worker.rules.outcome import Change, known


def job_payload(job_id: str, state: JobState, metadata: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Say which job, where it is, and give the sender's metadata back."""
    return {"job_id": job_id, "state": state, "metadata": dict(metadata), **more}


def error_payload(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    """Say what went wrong: a stable code, a sentence, and the field of the request if it was one."""
    return {"error": {"code": code, "message": message, "field": field}}


def change_payload(job: Job, change: Change, stored: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Say what a step's change means to the sender; ``stored`` are the job's outputs."""
    payload = job_payload(job.id, change.state, job.metadata)
    match change.state:
        case JobState.PROCESSING:
            payload["request_id"] = known(change.learnt.request_id)
        case JobState.SUCCEEDED:
            metrics = metrics_of(job, change)
            payload |= _made(job, change, stored) | {
                "timings": {name: metrics.get(name) for name in ("queue_time", "inference_time", "total_time")}
                | {"seconds_since_submit": round(job.age.total_seconds(), 3), "polls": job.polls},
            }
        case JobState.FAILED | JobState.REVIEW:
            learnt = change.learnt
            payload |= error_payload(str(learnt.error_code), str(learnt.error_message))
            payload |= _made(job, change, stored) if stored else {}
        case _:
            pass
    return payload


def metrics_of(job: Job, change: Change) -> Mapping[str, Any]:
    """Return what the vendor said that a run took and cost."""
    return known(change.learnt.metrics) or job.metrics or {}


def _made(job: Job, change: Change, stored: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say what was made and what it cost."""
    missing = map(_missing, known(change.learnt.missing) or ())
    return {
        "outputs": [*(_described(job.id, each) for each in stored), *missing],
        "cost": {"amount": metrics_of(job, change).get("cost"), "currency": "USD"},
    }


def _described(job_id: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a file is and how to get it."""
    told = {name: stored[name] for name in ("name", "media_type", "bytes", "sha256")}
    get = {"cli": f"sam3d output {job_id} --name {stored['name']}", "python": "worker.client.Client.download"}
    return {**told, "get": get, "geometry": stored.get("geometry"), "missing": None}


def _missing(file: Mapping[str, str]) -> dict[str, Any]:
    """Say which file could not be had, and why."""
    nothing = dict.fromkeys(("media_type", "bytes", "sha256", "get", "geometry"))
    return {"name": file["name"], **nothing, "missing": file["reason"]}
