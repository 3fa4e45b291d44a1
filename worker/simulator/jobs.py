"""One run on the vendor's side: its record, and its state as a function of time. No timers, no I/O."""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal


class Status(StrEnum):
    """The vendor's words for where a run is."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass
class Run:
    """An accepted run. Its fate is drawn when it is accepted; time only reveals it."""

    request_id: str
    call: Literal["submit", "blocking"]
    inputs: dict[str, Any]
    inputs_sha256: str
    submitted_at: datetime
    queue_seconds: float
    run_seconds: float  # from the submission to the end, the queue included; inf never ends
    cost: float
    output_token: str
    failure: str | None = None
    retry_count: int | None = None
    remaining_credits: float = 0.0
    is_told: bool = False  # its id was given to the client
    is_foreign: bool = False  # another user of the key started it: it is listed, and not on this one's bill
    fetched: dict[str, bytes] = field(default_factory=dict)  # images that were given as URLs, by URL

    @property
    def ends_at(self) -> datetime | None:
        """When the run completes or fails, if ever."""
        if not math.isfinite(self.run_seconds):
            return None
        return self.submitted_at + timedelta(seconds=self.run_seconds)

    def status(self, now: datetime) -> Status:
        """Return the state at a time."""
        age = (now - self.submitted_at).total_seconds()
        if age >= self.run_seconds:
            return Status.FAILED if self.failure is not None else Status.COMPLETED
        return Status.PROCESSING if age >= self.queue_seconds else Status.QUEUED

    def has_outputs(self, now: datetime, delay_seconds: float = 0.0) -> bool:
        """Return whether the outputs are named: so long after the run completed."""
        if self.status(now) is not Status.COMPLETED:
            return False
        return (now - self.submitted_at).total_seconds() >= self.run_seconds + delay_seconds

    def cost_at(self, now: datetime) -> float:
        """Return what the run has been charged: a failure is free, and nothing is charged before the end."""
        return self.cost if self.status(now) is Status.COMPLETED else 0.0

    def metrics(self, now: datetime) -> dict[str, Any]:
        """Return the metrics: none until the end, no money on a failure."""
        status = self.status(now)
        if status in {Status.QUEUED, Status.PROCESSING}:
            return {}
        metrics: dict[str, Any] = {
            "inference_time": round(self.run_seconds - self.queue_seconds, 3),
            "queue_time": round(self.queue_seconds, 3),
            "total_time": round(self.run_seconds, 3),
        }
        if status is Status.COMPLETED:
            metrics |= {"cost": self.cost, "remaining_credits": self.remaining_credits}
        if self.retry_count is not None:
            metrics["retry_count"] = self.retry_count
        return metrics

    @property
    def wants_artifacts(self) -> bool:
        """Whether a ZIP was asked for beside the model."""
        return bool(self.inputs.get("include_artifacts"))
