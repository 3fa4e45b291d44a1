"""Keeps a deployment's processes running: what ended is started again, what is frozen is woken after a while."""

import random
import threading
import time
from collections import Counter

from tests.support.fleet import SCHEDULERS, WORKERS, Fleet
from worker.telemetry.failpoints import ACTIONS

ROLES = {
    "worker-1": ("worker", "--concurrency", "4"),
    "worker-2": ("worker", "--concurrency", "4"),
    "worker-3": ("worker", "--concurrency", "2"),
    "scheduler-1": ("scheduler",),
    "scheduler-2": ("scheduler",),
}
"""The processes that are kept running."""

LONGEST_FREEZE = 20.0
EXPECTED = {0, -9, -15}
"""Exit codes of processes that were told to end, before or after they could say how, or were killed."""


class Supervisor(threading.Thread):
    """Starts again what ended, sometimes with a failpoint armed."""

    def __init__(self, fleet: Fleet, chance: random.Random, armed_share: float) -> None:
        super().__init__(name="supervisor", daemon=True)
        self.exits: Counter[str] = Counter()
        self.armed: dict[str, str] = {}
        self._fleet = fleet
        self._chance = chance
        self._armed_share = armed_share
        self._wakes_at: dict[str, float] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        """Look at each process several times a second."""
        while not self._stopped.wait(0.2):
            for name in ROLES:
                self._tend(name)

    def _tend(self, name: str) -> None:
        process = self._fleet.processes.get(name)
        code = process.poll() if process else None
        if process is None or code is not None:
            self._start(name, code)
        elif process.is_frozen:
            self._wake(name)

    def _start(self, name: str, code: int | None) -> None:
        if code is not None:
            self.exits[f"{name.partition('-')[0]} exit {code}"] += 1
        self._wakes_at.pop(name, None)
        self.armed.pop(name, None)
        if code is not None and self._chance.random() < self._armed_share:
            self.armed[name] = self._trap(name)
        self._fleet.start(name, *ROLES[name], SAM3D_FAILPOINTS=self.armed.get(name, ""))

    def _trap(self, name: str) -> str:
        places = sorted(WORKERS) if name.startswith("worker") else SCHEDULERS
        return f"{self._chance.choice(places)}={self._chance.choice(sorted(ACTIONS))}:{self._chance.randint(1, 30)}"

    def _wake(self, name: str) -> None:
        wakes_at = self._wakes_at.setdefault(name, time.monotonic() + self._chance.uniform(1, LONGEST_FREEZE))
        if time.monotonic() >= wakes_at:
            self._wakes_at.pop(name)
            self._fleet.wake(name)

    def heal(self) -> None:
        """Wake everything, and replace what is armed by what is not."""
        self._armed_share = 0.0
        for name in ROLES:
            if name in self._fleet.processes:
                self._fleet.wake(name)
        for name in list(self.armed):
            self._fleet.processes[name].terminate()

    def stop(self) -> None:
        """Tend to nothing any more."""
        self._stopped.set()
        self.join(timeout=30)
