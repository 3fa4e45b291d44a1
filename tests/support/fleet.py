"""Many processes of one deployment, started from a zygote, and what each of them has logged."""

import json
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from tests.support.deployment import Service
from tests.support.services.zygote import Forked, Zygote
from tests.support.waiting import wait_until
from worker.telemetry.failpoints import FAILPOINTS

PUBLISH = "publish.confirmed"
HANDED_OVER = "publish.taken"


def _step_of(place: str) -> str:
    """Return the step whose worker comes to a place: who accepts requests answers asks, who fetches makes receipts."""
    step = place.partition(".")[0]
    return {"ask": "accept", "receipt": "fetch"}.get(step, step)


_STEPS = {"accept": "accept", "submit": "submit", "poll": "poll", "fetch": "poll,fetch"}
"""What a worker does that comes to a step's places: a fetch is done by whoever polled, if he does both."""

WORKERS: Mapping[str, Sequence[str]] = {
    **{place: ("--steps", _STEPS[_step_of(place)]) for place in FAILPOINTS if _step_of(place) in _STEPS},
    HANDED_OVER: (),
    PUBLISH: (),
}
"""The places that a worker comes to, and the arguments of one that comes to it soon."""

SCHEDULERS: Sequence[str] = (PUBLISH, *(place for place in FAILPOINTS if place not in WORKERS))
"""The places that a scheduler comes to, in the order of its work."""


def armed_worker(place: str) -> str:
    """Name the worker that is struck at a place."""
    return f"worker-at-{place}"


def armed_scheduler(place: str) -> str:
    """Name the scheduler that is struck at a place."""
    return f"scheduler-at-{place}"


class Fleet:
    """Starts commands of ``sam3d`` in a deployment, each under a name of its own; a context manager that kills them."""

    def __init__(self, deployment: Service, zygote: Zygote) -> None:
        self.processes: dict[str, Forked] = {}
        self._deployment = deployment
        self._zygote = zygote

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def start(self, name: str, *arguments: str, **environment: str) -> Forked:
        """Start a command; its environment is the deployment's and these variables."""
        log = self._deployment.logs / f"{name}.log"
        started = self._zygote.start(arguments, {**self._deployment._full(), **environment}, log)
        self.processes[name] = started
        return started

    def workers(self, *names: str) -> None:
        """Start workers that do everything, and wait until they consume."""
        for name in names:
            self.start(name, "worker", "--concurrency", "4")
        self.await_logged("worker_ready", *names)

    def split_workers(self) -> None:
        """Start two workers that do everything between them, so that submits are messages, which an armed one gets."""
        for name, steps in {"front": "accept,poll,fetch", "submits": "submit"}.items():
            self.start(name, "worker", "--concurrency", "4", "--steps", steps)
        self.await_logged("worker_ready", "front", "submits")

    def arm_workers(self, action: str) -> list[str]:
        """Start a worker for each place, to be struck there; return their names."""
        for place, steps in WORKERS.items():
            trap = f"{place}={action}"
            self.start(armed_worker(place), "worker", "--concurrency", "1", *steps, SAM3D_FAILPOINTS=trap)
        return [armed_worker(place) for place in WORKERS]

    def arm_scheduler(self, place: str, action: str) -> str:
        """Start a scheduler, to be struck at a place; return its name."""
        self.start(armed_scheduler(place), "scheduler", SAM3D_FAILPOINTS=f"{place}={action}")
        return armed_scheduler(place)

    def await_struck(self, names: Iterable[str]) -> None:
        """Wait until each of the processes was struck, and has died of it, was stopped, or goes on to its end."""
        for name in names:
            wait_until(lambda name=name: self.logged(name, "failpoint_struck"), f"{name} is struck")  # type: ignore[misc]
            process = self.processes[name]
            wait_until(lambda process=process: process.poll() is not None or process.is_frozen, f"{name} stops")  # type: ignore[misc]

    def wake(self, name: str) -> None:
        """Let a frozen process go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def end(self, *names: str, within: float = 120) -> list[int]:
        """Tell processes to stop, frozen ones after they were woken; return their exit codes."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            for name in names:
                self.processes[name].send_signal(number)
        return [self.processes[name].wait(within) for name in names]

    def logged(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the lines that a process has logged about an event; a last line that is not whole is left out."""
        log = (self._deployment.logs / f"{name}.log").read_text()
        whole = log[: log.rfind("\n") + 1]
        lines: Sequence[dict[str, Any]] = [json.loads(line) for line in whole.splitlines() if event in line]
        return [line for line in lines if line["event"] == event]

    def await_logged(self, event: str, *names: str, within: float = 60) -> None:
        """Wait until each of the processes has logged an event."""
        for name in names:
            wait_until(lambda name=name: self.logged(name, event), f"{name} logs {event}", within)  # type: ignore[misc]


MOST_KILLS = 40


def run_poisoned(fleet: Fleet, failpoint: str, is_over: Callable[[], bool]) -> int:
    """Start workers that die at a place, one after the other, until the condition holds; return how many died."""
    for kills in range(MOST_KILLS):
        worker = fleet.start(f"poisoned-{kills}", "worker", "--concurrency", "4", SAM3D_FAILPOINTS=f"{failpoint}=kill")
        wait_until(lambda worker=worker: worker.poll() is not None or is_over(), f"worker {kills} has died")  # type: ignore[misc]
        if worker.poll() is None:
            worker.kill()
            return kills
    raise AssertionError(f"{MOST_KILLS} workers died at {failpoint}")
