"""A real worker and a real scheduler, each a process, on private services and the simulator."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from kombu import Connection

from tests.acceptance.listener import Listener
from tests.services.zygote import Zygote, inherited
from tests.waiting import wait_until
from worker.config.environment import Settings
from worker.simulator import Simulator, SimulatorSettings

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


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide a vendor whose runs take two seconds."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 2})) as simulated:
        yield simulated


@pytest.fixture
def deployment(
    vhost_url: str, migrated_url: str, simulator: Simulator, zygote: Zygote, tmp_path: Path
) -> Iterator[Service]:
    """Provide a deployment in which nothing runs but what the test starts, on a broker that has nothing of ours yet."""
    with deployed(vhost_url, migrated_url, simulator, tmp_path, zygote) as prepared:
        yield prepared


@pytest.fixture
def service(deployment: Service) -> Service:
    """Provide a deployment with a worker and a scheduler that are ready."""
    deployment.start("worker", "worker", "--concurrency", "4")
    deployment.start("scheduler", "scheduler")
    wait_until(lambda: "worker_ready" in deployment.log_of("worker"), "the worker consumes")
    return deployment


@pytest.fixture
def listener(service: Service) -> Iterator[Listener]:
    """Provide a consumer that is bound before anything is sent."""
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection:
        yield Listener(connection)
