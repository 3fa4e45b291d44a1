"""A deployment: its environment, and the processes of ``sam3d`` that a test starts in it."""

import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.support.services.zygote import PATIENCE, Zygote, inherited
from tests.support.waiting import wait_until
from worker.config.environment import Settings
from worker.simulator import Simulator

KEY = "SG_0123456789abcdef"


@dataclass
class Service:
    """What a deployment has: its environment, and the processes that were started in it."""

    environment: dict[str, str]
    logs: Path
    zygote: Zygote | None = None
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The settings that the processes read."""
        return Settings.of(self.environment)

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of ``sam3d`` in the background; one of a name that was used takes its place here.

        An environment with a path of its own needs an interpreter of its own, anything else is forked.
        """
        log, full = self.logs / f"{name}.log", {**self._full(), **environment}
        if self.zygote and "PYTHONPATH" not in full:
            started = cast("subprocess.Popen[bytes]", self.zygote.start(arguments, full, log))
        else:
            with log.open("ab") as output:
                command = [sys.executable, "-m", "worker", *arguments]
                started = subprocess.Popen(command, env=full, stdout=output, stderr=output)
        self.started.append(started)
        self.processes[name] = started
        return started

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of ``sam3d`` to its end."""
        if self.zygote:
            done = self.zygote.run(*arguments, **self._full())
        else:
            command = [sys.executable, "-m", "worker", *arguments]
            done = subprocess.run(command, env=self._full(), capture_output=True, text=True, timeout=120, check=False)
        if check:
            done.check_returncode()
        return done

    def log_of(self, name: str) -> str:
        """Return what a process has logged so far."""
        return (self.logs / f"{name}.log").read_text()

    def stop(self) -> None:
        """End every process that was ever started, politely first, and frozen ones as well."""
        for process in self.started:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        for process in self.started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _full(self) -> dict[str, str]:
        return {**inherited(), "XDG_RUNTIME_DIR": str(self.logs), **self.environment}


@contextmanager
def deployed(
    broker_url: str,
    database_url: str,
    simulator: Simulator,
    logs: Path,
    zygote: Zygote | None = None,
    **settings: str,
) -> Iterator[Service]:
    """Give a service on a database that has the schema, and stop what was started in it."""
    environment = {
        "SEGMIND_API_KEY": KEY,
        "SEGMIND_BASE_URL": simulator.url,
        "SEGMIND_ACCOUNT_URL": simulator.url,
        "SAM3D_OUTPUT_HOSTS": simulator.url,
        "SAM3D_BROKER_URL": broker_url,
        "SAM3D_DATABASE_URL": database_url,
        "SAM3D_EXPECTED_RUN": "2",
        "SAM3D_SWEEP_INTERVAL": "1",
        "SAM3D_SWEEP_GRACE": "10",
        **settings,
    }
    service = Service(environment, logs, zygote)
    try:
        yield service
    finally:
        service.stop()


IMAGE = base64.b64encode(Path("worker/photos/cat.png").read_bytes()).decode()

INTERVALS = {
    "SAM3D_SWEEP_INTERVAL": "0.5",
    "SAM3D_SWEEP_GRACE": "3",
    "SAM3D_RELAY_GRACE": "1",
    "SAM3D_PROBE_INTERVAL": "2",
    "SAM3D_SUBMIT_DEADLINE": "4",
    "SAM3D_READ_DEADLINE": "4",
    "SAM3D_DOWNLOAD_DEADLINE": "4",
    "SAM3D_LEASE_MARGIN": "2",
    "SAM3D_EXPECTED_RUN": "1",
    "SAM3D_RECONCILE_SETTLE": "2",
    "SAM3D_RECONCILE_DEADLINE": "20",
    "SAM3D_COMPARE_WAIT": "1",
}

IMPATIENT = {PATIENCE: "2"}
"""For processes that are to give up an answer of the broker or of the database after two seconds, not after ten."""


def start_worker(deployment: Service, name: str = "worker", **environment: str) -> None:
    """Start a worker with four threads and wait until it consumes."""
    log = deployment.logs / f"{name}.log"
    begun = len(log.read_text()) if log.exists() else 0
    worker = deployment.start(name, "worker", "--concurrency", "4", **environment)

    def consumes() -> bool:
        assert worker.poll() is None, f"{name} ended:\n{log.read_text()[begun:][-2000:]}"
        return "worker_ready" in log.read_text()[begun:]

    wait_until(consumes, f"{name} consumes")


def start_all(deployment: Service, **environment: str) -> None:
    """Start a worker and a scheduler, and wait until the worker consumes."""
    deployment.start("scheduler", "scheduler", **environment)
    start_worker(deployment, **environment)


def count_logged(deployment: Service, *events: str) -> int:
    """Count the lines of these events in all logs of the deployment."""
    lines = [line for path in deployment.logs.glob("*.log") for line in path.read_text().splitlines()]
    return sum(f'"event": "{event}"' in line for line in lines for event in events)


@contextmanager
def told_again(deployment: Service, *events: str, within: float = 30) -> Iterator[None]:
    """Wait at the end until one of these events was logged that had not been at the beginning.

    The default limit is the longest that anything may hang.
    """
    before = count_logged(deployment, *events)
    yield
    wait_until(lambda: count_logged(deployment, *events) > before, f"{'/'.join(events)} is logged", within)
