"""A run's state is a function of time, and so is what it costs."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from worker.simulator.jobs import Run, Status

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_run(**changes: object) -> Run:
    """Return a run of 10 s, of which it is queued for 2 s."""
    fields: dict[str, object] = {
        "request_id": "r",
        "call": "submit",
        "inputs": {},
        "inputs_sha256": "0",
        "submitted_at": START,
        "queue_seconds": 2.0,
        "run_seconds": 10.0,
        "cost": 0.06,
        "output_token": "t",
    }
    return Run(**(fields | changes))  # type: ignore[arg-type]


def after(seconds: float) -> datetime:
    """Return the time some seconds after the submission."""
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        (0, Status.QUEUED),
        (1.99, Status.QUEUED),
        (2, Status.PROCESSING),
        (9.99, Status.PROCESSING),
        (10, Status.COMPLETED),
        (10**6, Status.COMPLETED),
    ],
)
def test_status_follows_the_time(seconds: float, status: Status) -> None:
    """A run is queued, then runs, then is complete."""
    assert a_run().status(after(seconds)) is status


def test_failed_run_is_free_and_has_no_cost_in_its_metrics() -> None:
    """Nothing is charged for a failure."""
    run = a_run(failure="no object")
    assert run.status(after(10)) is Status.FAILED
    assert run.cost_at(after(10)) == 0
    assert run.metrics(after(10)).keys() == {"inference_time", "queue_time", "total_time"}


def test_completed_run_is_charged_only_at_its_end() -> None:
    """The bill has the cost once the run is complete, the metrics too."""
    run = a_run(remaining_credits=9.94, retry_count=1)
    assert run.cost_at(after(9)) == 0
    assert run.metrics(after(9)) == {}
    assert run.cost_at(after(10)) == 0.06
    assert run.metrics(after(10)) == {
        "inference_time": 8.0,
        "queue_time": 2.0,
        "total_time": 10.0,
        "cost": 0.06,
        "remaining_credits": 9.94,
        "retry_count": 1,
    }


def test_run_that_never_ends_has_no_end() -> None:
    """An endless run keeps running."""
    run = a_run(run_seconds=math.inf)
    assert run.ends_at is None
    assert run.status(after(10**9)) is Status.PROCESSING
