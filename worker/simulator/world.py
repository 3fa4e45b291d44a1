"""The state of the simulated vendor: its runs, its account, its faults, and a count of every call."""

import hashlib
import json
import math
import random
import secrets
import uuid
from collections import Counter, deque
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from .account import Balance, RateWindow, reset_value, window_ends_at
from .clock import Clock
from .faults import FaultBook, FaultRule
from .jobs import Run, Status
from .settings import SimulatorSettings

Value = TypeVar("Value")

LOG_LENGTH = 200_000
FAILURE = "Inference failed: the object could not be reconstructed"


class World:
    """Everything that one simulator remembers. Used from its event loop only."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.clock = clock
        self._first_settings = settings
        self.reset()

    def reset(self) -> None:
        """Forget everything but the time, and go back to the first settings."""
        self.settings = self._first_settings
        self.runs: dict[str, Run] = {}
        self.outputs: dict[str, Run] = {}
        self.foreign_rows: list[dict[str, Any]] = []
        self.faults = FaultBook(self.settings.seed)
        self.balance = Balance(self.settings.credits)
        self.window = RateWindow()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self._known_values: dict[Any, Any] = {}
        self._chance = random.Random(self.settings.seed)

    def update(self, changes: dict[str, Any]) -> SimulatorSettings:
        """Change some settings.

        Raises:
            ValidationError: a setting is unknown or out of range.
        """
        self.settings = SimulatorSettings.model_validate(self.settings.model_dump() | changes)
        if "credits" in changes:
            self.balance = Balance(self.settings.credits)
        return self.settings

    def accept(
        self,
        call: Literal["submit", "blocking"],
        inputs: dict[str, Any],
        inputs_sha256: str,
        fetched: dict[str, bytes],
        fate: FaultRule | None,
    ) -> Run:
        """Start a run and draw its fate."""
        seconds = self.settings.run_time.draw(self._chance)
        fails = self._chance.random() < self.settings.fail_share
        queue = self.settings.queue_seconds
        run = Run(
            request_id=str(uuid.uuid4()),
            call=call,
            inputs=self._shared(inputs),
            inputs_sha256=inputs_sha256,
            submitted_at=self.clock.now(),
            queue_seconds=min(seconds, seconds * self.settings.queue_share if queue is None else queue),
            run_seconds=math.inf if fate is not None and fate.kind == "never_ends" else seconds,
            cost=self.settings.cost,
            output_token=secrets.token_urlsafe(24),
            failure=(fate.message or FAILURE) if fate is not None and fate.kind == "fail_job" else None,
            fetched=self._shared(fetched),
        )
        if fails and fate is None:
            run.failure = FAILURE
        self._settle(run)
        self.runs[run.request_id] = self.outputs[run.output_token] = run
        return run

    def _shared(self, values: dict[str, Value]) -> dict[str, Value]:
        """Return the same values, equal texts and bytes as one object: many runs may have the same photo."""
        return {
            name: self._known_values.setdefault(value, value) if isinstance(value, str | bytes) else value
            for name, value in values.items()
        }

    def _settle(self, run: Run) -> None:
        """Take the money for a run that will complete."""
        if self._chance.random() < self.settings.retry_share:
            run.retry_count = 1
        pays = run.failure is None and run.ends_at is not None
        run.remaining_credits = self.balance.take(run.cost) if pays else self.balance.credits_left

    def known(self, request_id: str) -> Run | None:
        """Return a run whose record has not expired."""
        run = self.runs.get(request_id)
        if run is None or self.clock.now() - run.submitted_at >= timedelta(seconds=self.settings.record_seconds):
            return None
        return run

    def output(self, token: str) -> Run | None:
        """Return the run that an output file belongs to, while the file lives."""
        run, now = self.outputs.get(token), self.clock.now()
        if run is None or run.ends_at is None or run.status(now) is not Status.COMPLETED:
            return None
        return run if now - run.ends_at < timedelta(seconds=self.settings.output_seconds) else None

    def resets_at(self) -> str | None:
        """Return the value of the rate limit's reset header."""
        return reset_value(self.settings.reset_header, window_ends_at(self.clock.now()))

    def record(self, call: str, answer: str, request_id: str | None, method: str, path: str) -> None:
        """Count a call and remember it."""
        self.counts[call, answer] += 1
        entry = {"at": self.clock.now().isoformat(), "call": call, "answer": answer, "request_id": request_id}
        self.log.append({**entry, "method": method, "path": path})

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted run and what it cost: the bill."""
        now = self.clock.now()
        return [_bill(run, now) for run in self.runs.values()]

    def requests(self, *, with_log: bool = False) -> dict[str, Any]:
        """Return how many calls got which answer, and on demand all calls in order."""
        counts: dict[str, dict[str, int]] = {}
        for (call, answer), count in sorted(self.counts.items()):
            counts.setdefault(call, {})[answer] = count
        summary: dict[str, Any] = {"total": self.counts.total(), "calls": counts}
        return summary | {"log": list(self.log)} if with_log else summary


def _bill(run: Run, now: datetime) -> dict[str, Any]:
    """Return a run's line on the bill."""
    return {
        "request_id": run.request_id,
        "call": run.call,
        "submitted_at": run.submitted_at.isoformat(),
        "status": run.status(now).value,
        "cost": run.cost_at(now),
        "inputs_sha256": run.inputs_sha256,
        "prompt": run.inputs.get("prompt"),
        "seed": run.inputs.get("seed"),
    }


def inputs_digest(inputs: dict[str, Any]) -> str:
    """Return the SHA-256 of the inputs as canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
