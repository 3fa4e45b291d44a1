"""Pure: what a receipt says of a job, from its rows: what went in, what was paid, what came out.

Neither a byte of a photo nor the text of a prompt is in it: of both there is the SHA-256, so that whoever has them can
show that they are those. The same rows give the same receipt.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from worker.rules.request_id import canonical_id

FORMAT = "sam3d-receipt/1"

NAME, MEDIA_TYPE = "receipt.json", "application/json"
"""Of the file beside the model; no file that a run makes is named so."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Particulars:
    """The rows of a job that its receipt is made of; ``steps`` are its events that tell of a state, oldest first."""

    job: Row = field(repr=False)
    inputs: Sequence[Row] = field(repr=False)
    submissions: Sequence[Row] = field(repr=False)
    outputs: Sequence[Row] = field(repr=False)
    steps: Sequence[Row] = field(repr=False)


def compose(rows: Particulars, version: str) -> dict[str, Any]:
    """Return what a receipt says, made by this version of the service."""
    job = rows.job
    return {
        "format": FORMAT,
        "service": {"name": "sam3d-worker", "version": version},
        "job": {"id": job["id"], "state": job["state"], "retry_of": job["retry_of"], "error": _error(job)},
        "shared_run": job["shares"],
        "inputs": [_input(each) for each in rows.inputs],
        "parameters": _parameters(job["parameters"]),
        "submissions": [_submission(each, job) for each in rows.submissions],
        "cost": {"amount": _number(job["cost"]), "currency": "USD"},
        "timings": {name: (job["metrics"] or {}).get(name) for name in TIMINGS},
        "outputs": [_output(each) for each in rows.outputs if each["name"] != NAME],
        "missing": [dict(each) for each in job["missing"] or ()],
        "states": [{"state": each["state"], "at": _time(each["at"])} for each in rows.steps],
        "times": {name: _time(job[name]) for name in TIMES},
    }


TIMINGS = ("queue_time", "inference_time", "total_time")
"""What the vendor says that a run took, s."""

TIMES = ("accepted_at", "submitted_at", "completed_at", "finished_at")


def _error(job: Row) -> Row | None:
    return {"code": job["error_code"], "message": job["error_message"]} if job["error_code"] else None


def _input(file: Row) -> Row:
    """Say which file it was by its SHA-256; of one that the vendor read at an address, by that of its address."""
    told = {name: file[name] for name in ("name", "media_type", "bytes", "sha256")}
    return {**told, "address_sha256": digest_of(file["url"]) if file["url"] else None}


def _parameters(parameters: Row) -> Row:
    """Return what was asked for, with the SHA-256 of the prompt in its place."""
    others = {name: each for name, each in parameters.items() if name != "prompt"}
    prompt = parameters.get("prompt")
    return others if prompt is None else {**others, "prompt_sha256": digest_of(prompt)}


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return sha256(text.encode()).hexdigest()


def _submission(submission: Row, job: Row) -> Row:
    """Say what became of a submit; what it cost is known of the one whose run is the job's."""
    run = submission["request_id"]
    is_paid = run is not None and canonical_id(run) == canonical_id(job["request_id"] or "")
    return {
        "verdict": submission["verdict"],
        "http_status": submission["http_status"],
        "request_id": run,
        "cost": _number(job["cost"]) if is_paid else None,
        "intended_at": _time(submission["intended_at"]),
        "answered_at": _time(submission["answered_at"]),
    }


def _output(file: Row) -> Row:
    return {name: file[name] for name in ("name", "media_type", "bytes", "sha256", "role", "geometry")}


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def written(receipt: Row) -> bytes:
    """Write a receipt as it is kept: for people, in ASCII, the same each time."""
    return (json.dumps(receipt, indent=2, allow_nan=False) + "\n").encode()


def read(content: bytes) -> dict[str, Any]:
    """Read a receipt that anybody may have written.

    Raises:
        ValueError: it is none; says why.
    """
    if len(content) > LARGEST:
        raise ValueError("it is too large")
    try:
        found = json.loads(content, object_pairs_hook=_each_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError("a name comes twice" if isinstance(error, _TwiceError) else "it is no JSON") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT}")
    return found


LARGEST = 2**20
"""Bytes of a receipt; one of a job has some thousand."""


class _TwiceError(ValueError):
    """Of two members of one name readers take one or the other."""


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise _TwiceError
    return found


def _refuse(constant: str) -> float:
    raise ValueError(constant)
