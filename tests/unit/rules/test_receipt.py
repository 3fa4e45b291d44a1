"""What a receipt says of a job: all that was paid for, and nothing that was secret in it."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from worker.rules.receipt import FORMAT, LARGEST, NAME, Particulars, compose, digest_of, read, written

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RUN = "1d92e4d9-e250-4d66-a10f-652d4d0a3162"
PROMPT = "a red cup, m4rk3r"
ADDRESS = "https://photos.example/cat.png?signature=s3cret"
SHA = "5bf4c3ecab616dd12c61994de0fdf46bb6cc7c3ac088ce69911d6bd282830504"

JOB: dict[str, Any] = {
    "id": "0dec40d4-cab8-4d78-8019-9bb80d2d8e44", "state": "succeeded", "retry_of": None, "shares": None,
    "error_code": None, "error_message": None,
    "parameters": {"prompt": PROMPT, "seed": 7, "bounding_box": "[1, 2, 3, 4]"},
    "request_id": RUN, "cost": Decimal("0.06"), "metrics": {"total_time": 10.5, "remaining_credits": 4.2},
    "missing": [{"name": "file.zip", "reason": "It broke off."}], "accepted_at": NOW, "submitted_at": NOW + SECOND,
    "completed_at": NOW + 2 * SECOND, "finished_at": NOW + 3 * SECOND,
}  # fmt: skip
IMAGE = {"name": "image", "media_type": "image/png", "bytes": 3, "sha256": SHA, "url": None}
MODEL = {
    "name": "model.glb", "media_type": "model/gltf-binary", "bytes": 935_844, "sha256": SHA, "role": "output",
    "geometry": {"triangles": 12, "bounds": [[-0.5, 0, 0], [0.5, 1, 1]]},
}  # fmt: skip
SUBMISSIONS: list[dict[str, Any]] = [
    {"verdict": "refused", "http_status": 400, "request_id": None, "intended_at": NOW, "answered_at": NOW},
    {"verdict": "unknown", "http_status": None, "request_id": None, "intended_at": NOW, "answered_at": None},
    {"verdict": "accepted", "http_status": 200, "request_id": RUN.replace("-", "").upper(), "intended_at": NOW,
     "answered_at": NOW + SECOND},
]  # fmt: skip
ROWS = Particulars(JOB, [IMAGE], SUBMISSIONS, [MODEL], [{"state": "accepted", "at": NOW}])


def test_it_says_what_went_in_what_was_paid_and_what_came_out() -> None:
    """As a whole, once."""
    assert compose(ROWS, "0.1.0") == {
        "format": FORMAT,
        "service": {"name": "sam3d-worker", "version": "0.1.0"},
        "job": {"id": JOB["id"], "state": "succeeded", "retry_of": None, "error": None},
        "shared_run": None,
        "inputs": [{"name": "image", "media_type": "image/png", "bytes": 3, "sha256": SHA, "address_sha256": None}],
        "parameters": {
            "seed": 7, "bounding_box": "[1, 2, 3, 4]", "prompt_sha256": hashlib.sha256(PROMPT.encode()).hexdigest(),
        },
        "submissions": [
            {"verdict": "refused", "http_status": 400, "request_id": None, "cost": None,
             "intended_at": "2026-01-01T12:00:00.000005+00:00", "answered_at": "2026-01-01T12:00:00.000005+00:00"},
            {"verdict": "unknown", "http_status": None, "request_id": None, "cost": None,
             "intended_at": "2026-01-01T12:00:00.000005+00:00", "answered_at": None},
            {"verdict": "accepted", "http_status": 200, "request_id": RUN.replace("-", "").upper(), "cost": 0.06,
             "intended_at": "2026-01-01T12:00:00.000005+00:00", "answered_at": "2026-01-01T12:00:01.000005+00:00"},
        ],
        "cost": {"amount": 0.06, "currency": "USD"},
        "timings": {"queue_time": None, "inference_time": None, "total_time": 10.5},
        "outputs": [MODEL],
        "missing": [{"name": "file.zip", "reason": "It broke off."}],
        "states": [{"state": "accepted", "at": "2026-01-01T12:00:00.000005+00:00"}],
        "times": {
            "accepted_at": "2026-01-01T12:00:00.000005+00:00", "submitted_at": "2026-01-01T12:00:01.000005+00:00",
            "completed_at": "2026-01-01T12:00:02.000005+00:00", "finished_at": "2026-01-01T12:00:03.000005+00:00",
        },
    }  # fmt: skip


def test_no_prompt_no_address_and_no_balance_is_in_it() -> None:
    """Of what is secret there is the SHA-256, so that whoever has it can show that it is that."""
    at_an_address = {**IMAGE, "media_type": None, "bytes": None, "sha256": None, "url": ADDRESS}
    said = written(compose(replace(ROWS, inputs=[at_an_address]), "0.1.0")).decode()
    assert not [secret for secret in ("m4rk3r", "s3cret", "photos.example", "remaining") if secret in said]
    assert digest_of(ADDRESS) in said
    assert not [secret for secret in ("m4rk3r", "s3cret", RUN) if secret in repr(ROWS)]


def test_a_receipt_does_not_list_itself() -> None:
    """One that is made again is the same."""
    again = replace(ROWS, outputs=[MODEL, {**MODEL, "name": NAME}])
    assert compose(again, "0.1.0") == compose(ROWS, "0.1.0")


def test_a_job_that_failed_says_why() -> None:
    """And what it never had is null, or not there."""
    failed = {
        **JOB, "state": "failed", "error_code": "remote_failed", "error_message": "No.", "parameters": {},
        "cost": None, "metrics": None, "missing": None, "completed_at": None, "request_id": None,
    }  # fmt: skip
    said = compose(Particulars(failed, [], SUBMISSIONS, [], []), "0.1.0")
    assert said["job"]["error"] == {"code": "remote_failed", "message": "No."}
    assert (said["cost"]["amount"], said["missing"], said["parameters"], said["times"]["completed_at"]) == (
        None, [], {}, None,
    )  # fmt: skip
    assert {each["cost"] for each in said["submissions"]} == {None}


def test_the_same_rows_give_the_same_bytes() -> None:
    """In whatever zone the database tells its times; in ASCII, whatever a sentence has."""
    elsewhere = {
        name: each.astimezone(timezone(timedelta(hours=5))) if isinstance(each, datetime) else each
        for name, each in JOB.items()
    }
    assert written(compose(replace(ROWS, job=elsewhere), "1")) == written(compose(ROWS, "1"))
    assert written(compose(replace(ROWS, job={**JOB, "error_code": "x", "error_message": "\u202e杯"}), "1")).isascii()


def test_what_was_written_is_read() -> None:
    """As it was."""
    receipt = compose(ROWS, "0.1.0")
    assert read(written(receipt)) == json.loads(json.dumps(receipt))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b'{"format": "sam3d-receipt/1", "x": NaN}', "it is no JSON"),
        (b'{"format": "sam3d-receipt/1", "x": ' + b"9" * 5000 + b"}", "it is no JSON"),
        (b'{"x": ' + b"[" * 100_000 + b"}", "it is no JSON"),
        (b'{"format": "sam3d-receipt/1", "a": {"b": 1, "b": 2}}', "a name comes twice"),
        (b"[]", "its format is not"),
        (b'{"format": "sam3d-receipt/2"}', "its format is not"),
        (b'{"format": ["sam3d-receipt/1"]}', "its format is not"),
        (b" " * LARGEST + b"{}", "it is too large"),
    ],
    ids=["empty", "bytes", "cut", "constant", "digits", "deep", "twice", "list", "other", "odd", "large"],
)
def test_what_is_no_receipt_is_told(content: bytes, why: str) -> None:
    """One that readers may read otherwise is none."""
    with pytest.raises(ValueError, match=why):
        read(content)
