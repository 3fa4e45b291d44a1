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
from .stranger import Stranger

Value = TypeVar("Value")

LOG_LENGTH = 200_000
LATE_REFUSAL_SECONDS = 0.03
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
        self.stranger = Stranger(self.clock.now())
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
        if "foreign_run_every_seconds" in changes:
            self.stranger = Stranger(self.clock.now())
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
        doom = "" if fate is None else fate.kind
        run = Run(
            request_id=self._new_id(),
            call=call,
            inputs=self._shared(inputs),
            inputs_sha256=inputs_sha256,
            submitted_at=self.clock.now(),
            queue_seconds=min(seconds, seconds * self.settings.queue_share if queue is None else queue),
            run_seconds={"never_ends": math.inf, "refuse_late": LATE_REFUSAL_SECONDS}.get(doom, seconds),
            cost=self.settings.cost,
            output_token=secrets.token_urlsafe(24),
            failure=(fate.message or FAILURE) if fate is not None and doom in {"fail_job", "refuse_late"} else None,
            fetched=self._shared(fetched),
        )
        if fails and fate is None:
            run.failure = FAILURE
        self._settle(run)
        return self._add(run)

    def _new_id(self) -> str:
        """Return a fresh request id in the form that the settings say."""
        fresh = uuid.uuid4()
        return fresh.hex if self.settings.request_ids == "hex" else str(fresh)

    def _add(self, run: Run) -> Run:
        """Remember a run."""
        self.runs[run.request_id] = self.outputs[run.output_token] = run
        return run

    def let_others_run(self) -> None:
        """Start the runs of another user of the key that are due by now."""
        every = self.settings.foreign_run_every_seconds
        for started_at in [] if every is None else self.stranger.starts_until(self.clock.now(), every):
            self._add(self.stranger.run(self._new_id(), started_at, self.settings.cost))

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
        """Return a run that the reads know already, and whose record has not expired."""
        run = self.runs.get(request_id)
        if run is None:
            return None
        age = max((self.clock.now() - run.submitted_at).total_seconds(), 0.0)
        return run if self.settings.known_after_seconds <= age < self.settings.record_seconds else None

    def newest(self) -> Run | None:
        """Return the last run whose id was given to the client, if there is one."""
        return next((run for run in reversed(self.runs.values()) if run.is_told), None)

    def other_than(self, run: Run) -> Run:
        """Return another run, the newest that is complete if there is one; for want of another the same."""
        others = [other for other in reversed(self.runs.values()) if other is not run]
        now = self.clock.now()
        return next((other for other in others if other.status(now) is Status.COMPLETED), (others or [run])[0])

    def output_names(self, run: Run) -> list[str]:
        """Return the names of a run's files, the model first."""
        artifacts = ["artifacts.zip"] if run.wants_artifacts else []
        return ["model.glb", *artifacts, *self.settings.extra_files]

    def output(self, token: str) -> Run | None:
        """Return the run that an output file belongs to, while the file lives."""
        run, now = self.outputs.get(token), self.clock.now()
        if run is None or run.ends_at is None or run.status(now) is not Status.COMPLETED:
            return None
        return run if now - run.ends_at < timedelta(seconds=self.settings.output_seconds) else None

    def resets_at(self) -> str | None:
        """Return the value of the rate limit's reset header."""
        return reset_value(self.settings.reset_header, window_ends_at(self.clock.now()))

    def record(self, call: str, answer: str, request_id: str | None, method: str, path: str, size: int = 0) -> None:
        """Count a call and remember it; `size` is that of its body, bytes."""
        self.counts[call, answer] += 1
        entry = {"at": self.clock.now().isoformat(), "call": call, "answer": answer, "request_id": request_id}
        self.log.append({**entry, "method": method, "path": path, "bytes": size})

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted run and what it cost: the bill."""
        now = self.clock.now()
        return [_bill(run, now) for run in self.runs.values() if not run.is_foreign]

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
