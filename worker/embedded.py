"""The whole service in one process, on nothing but this machine: the same code path as production otherwise.

PostgreSQL comes out of a wheel, the broker is Celery's in-memory transport, and the vendor is the simulator.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from worker.app import POOL, App, create_app
from worker.broker import topology
from worker.client import Client
from worker.config.environment import Settings, load_settings
from worker.database import engine, reading, schema
from worker.database.local_server import running_postgres
from worker.errors import ConfigurationError
from worker.rules.lifecycle import JobState
from worker.upkeep.scheduler import Scheduler

SIMULATED_RUN = timedelta(seconds=3)
SIMULATED_KEY = "SG_0123456789abcdef"
START_SECONDS = 30.0

_broker = threading.Lock()
"""Held by the one service of this process: all in-memory brokers of a process are the same, whatever their URL."""


@dataclass(frozen=True)
class Progress:
    """What can be shown of a job that is under way."""

    state: JobState
    remote_status: str | None
    polls: int
    elapsed: timedelta
    expected: timedelta


@contextmanager
def embedded_settings(*, is_live: bool) -> Iterator[Settings]:
    """Start what the service needs on this machine, and give the settings that use it.

    With ``is_live`` the vendor is the real one, as the environment says; each job is paid.

    Raises:
        ConfigurationError: ``is_live`` without a key.
    """
    base = _live_settings() if is_live else load_settings()
    with ExitStack() as stack:
        local = {
            "SAM3D_BROKER_URL": SecretStr(f"memory://{uuid4().hex}"),
            "SAM3D_DATABASE_URL": SecretStr(stack.enter_context(running_postgres())),
            "SAM3D_CONCURRENCY": 2,
            "SAM3D_HEALTH_PORT": None,
        }
        if not is_live:
            local |= stack.enter_context(_simulated_vendor())
        yield base.having(**local)


def _live_settings() -> Settings:
    settings = load_settings()
    if not (settings.vendor.api_key or settings.vendor.api_key_file):
        raise ConfigurationError("--live needs SEGMIND_API_KEY: the run is made and paid at the vendor.")
    return settings


@contextmanager
def _simulated_vendor() -> Iterator[Mapping[str, Any]]:
    from worker.simulator import Simulator, SimulatorSettings  # An extra as well.

    settings = SimulatorSettings.model_validate({"run_time": SIMULATED_RUN.total_seconds()})
    with Simulator(settings) as simulator:
        yield {
            "SEGMIND_BASE_URL": simulator.url,
            "SEGMIND_ACCOUNT_URL": simulator.url,
            "SEGMIND_API_KEY": SecretStr(SIMULATED_KEY),
            "SEGMIND_API_KEY_FILE": None,
            "SAM3D_OUTPUT_HOSTS": (simulator.url,),
            "SAM3D_EXPECTED_RUN": SIMULATED_RUN,
        }


@contextmanager
def running_service(settings: Settings) -> Iterator[App]:
    """Run a worker and a scheduler on threads of this process.

    Raises:
        ConfigurationError: this process runs one already.
    """
    if not _broker.acquire(blocking=False):
        raise ConfigurationError(
            "An embedded service runs in this process already: a second one would get its messages. Stop the first,"
            " or start the second in a process of its own."
        )
    try:
        yield from _service(settings)
    finally:
        _broker.release()


def _service(settings: Settings) -> Iterator[App]:
    schema.upgrade(settings.database.url)
    app = create_app(settings)
    topology.declare(app.connection_for_write())
    _forget_messages(app)
    is_ready = threading.Event()
    worker = app.WorkController(
        pool=POOL,
        concurrency=settings.process.concurrency,
        loglevel="WARNING",
        ready_callback=lambda _: is_ready.set(),
    )
    app.services.post.start()
    scheduler = Scheduler(app.services, dict)
    threads = [threading.Thread(target=each, daemon=True) for each in (worker.start, scheduler.run)]
    for thread in threads:
        thread.start()
    is_ready.wait(START_SECONDS)  # Celery forgets a stop that comes before, and would go on for ever.
    try:
        yield app
    finally:
        scheduler.stop()
        worker.stop()
        for thread in threads:
            thread.join(timeout=10)
        app.close()


def _forget_messages(app: App) -> None:
    """Empty the in-memory broker of what an earlier service of this process left, whose database is gone."""
    with app.connection_for_write() as connection, connection.channel() as channel:
        for queue in topology.queues():
            queue(channel).purge()


def reconstruct(
    app: App, request: Mapping[str, Any], folder: Path, show: Callable[[Progress], None]
) -> tuple[dict[str, Any], list[Path]]:
    """Send a request, show its progress until it is final, and return its row and its files."""
    settings = app.services.settings
    with Client(settings) as client:
        job_id = client.send(request)
        row = _watch(app, job_id, show)
        succeeded = row["state"] == JobState.SUCCEEDED
        return row, client.download(job_id, folder) if succeeded else []


def _watch(app: App, job_id: str, show: Callable[[Progress], None]) -> dict[str, Any]:
    """Look at the row, which is ours to read, a few times a second."""
    started = time.monotonic()
    while True:
        with engine.transaction(app.services.engine) as connection:
            row = reading.job_row(connection, job_id)
        if row:
            elapsed = timedelta(seconds=time.monotonic() - started)
            state = JobState(row["state"])
            expected = app.services.settings.run.expected
            show(Progress(state, row["remote_status"], row["polls"], elapsed, expected))
            if state.is_final or state is JobState.REVIEW:
                return dict(row)
        time.sleep(0.1)
