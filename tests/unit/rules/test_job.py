"""A job's row as a step sees it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.rules.job import InputFile, Job
from worker.rules.lifecycle import JobState, Ticket

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": "job", "account": "default", "state": "processing", "version": 7, "parameters": {"prompt": "m4rk3r"},
    "metadata": {"a": "m4rk3r"}, "attempts": 1, "broken_files": 0, "polls": 2, "request_id": "run",
    "submitted_at": NOW - timedelta(seconds=40), "observed_at": NOW, "fingerprint": "not of interest",
}  # fmt: skip


def test_a_job_is_made_of_a_row() -> None:
    """Columns that no step needs are left out."""
    job = Job.from_row(ROW)
    assert (job.state, job.token) == (JobState.PROCESSING, None)
    assert job.ticket == Ticket("job", 7)


@pytest.mark.parametrize(("submitted", "age"), [(NOW - timedelta(seconds=40), 40), (None, 0)])
def test_age_is_by_the_databases_clock(submitted: datetime | None, age: int) -> None:
    """It counts from the submit, and is none before."""
    assert Job.from_row({**ROW, "submitted_at": submitted}).age == timedelta(seconds=age)


def test_the_inputs_are_what_is_sent() -> None:
    """The parameters, a URL as it is, a content as its bytes."""
    image, mask = InputFile("image", None, b"\x89PNG"), InputFile("mask", "https://example.com/mask.png", None)
    job = replace(Job.from_row(ROW), files=(image, mask))
    assert job.inputs == {"prompt": "m4rk3r", "image": b"\x89PNG", "mask": "https://example.com/mask.png"}
    assert [replace(job, files=files).is_inline for files in ((image, mask), (mask,), ())] == [True, False, False]


def test_what_a_submit_has_in_hand() -> None:
    """A photo in the store weighs what it has there until it has an address, or its bytes."""
    stored = InputFile("image", None, None, "objects:input/x", "place:x", 7)
    ready = [replace(stored, url="https://ours/x?e=1"), replace(stored, content=b"1234567", location=None)]
    jobs = [replace(Job.from_row(ROW), files=(file,)) for file in (stored, *ready)]
    assert [each.weight for each in jobs] == [7, 0, 7]
    assert [(each.is_addressed, each.is_inline) for each in jobs] == [(True, False), (True, False), (False, True)]
    assert "e=1" not in repr(jobs)


def test_a_job_does_not_show_what_it_is_about() -> None:
    """Neither the prompt nor the sender's metadata can end up in a log."""
    assert "m4rk3r" not in repr(Job.from_row(ROW))
