"""The long-running commands: worker, scheduler, simulator."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from worker.app import ACCEPT, STEPS, App, create_app, run_worker
from worker.broker import topology
from worker.broker.connection import connected, unreachable, why
from worker.broker.topology import QueueLoad
from worker.cli.ports import listening
from worker.config import Settings, load_settings
from worker.database.engine import DatabaseError, describe, ping
from worker.database.schema import require_schema
from worker.errors import ConfigurationError, InvalidMessage
from worker.intake.hearing import Line, require_beating
from worker.telemetry import watchdog
from worker.telemetry.health import start_health_server
from worker.telemetry.logs import configure_logging, log_what_is_uncaught
from worker.telemetry.metrics import exposition, usage
from worker.upkeep.readers import Readers
from worker.upkeep.scheduler import Scheduler
from worker.work.services import Services

log = structlog.get_logger(__name__)


def worker(steps: str, concurrency: int | None) -> None:
    """Work on jobs until SIGTERM, which lets the steps in hand finish."""
    chosen = [step.strip() for step in steps.split(",")]
    if unknown := sorted(set(chosen) - set(STEPS)):
        raise InvalidMessage("steps", f"`--steps` has no {', '.join(unknown)}; choose from {', '.join(STEPS)}.")
    settings = _given(load_settings(), concurrency)
    app = _start(settings, chosen)
    if not (settings.segmind_api_key or settings.segmind_api_key_file):
        log.warning("key_missing", next="set SEGMIND_API_KEY or SEGMIND_API_KEY_FILE; until then every job waits")
    log.info("worker_started", steps=chosen, concurrency=settings.sam3d_concurrency, pid=os.getpid())
    code = run_worker(app, chosen, settings.sam3d_concurrency)
    app.services.close()
    log.info("worker_stopped", exit_code=code)
    sys.exit(code)


def _given(settings: Settings, concurrency: int | None) -> Settings:
    return settings.model_copy(update={"sam3d_concurrency": concurrency}) if concurrency else settings


def _start(settings: Settings, steps: list[str], measure: Callable[[App], bytes] | None = None) -> App:
    """Set logs, schema check, topology and probes up, in the order in which they can fail."""
    configure_logging(settings.sam3d_log_level)
    log_what_is_uncaught()
    app = create_app(settings, steps)
    if settings.sam3d_health_port:
        metrics = partial(measure, app) if measure else None
        checks = _readiness(app, steps)
        with listening("SAM3D_HEALTH_PORT", settings.sam3d_health_port):
            start_health_server(settings.sam3d_health_port, checks, metrics)
    watchdog.watch(settings.sam3d_stall_limit)
    _await_schema(app)
    declare(app)
    return app


def _readiness(app: App, steps: list[str]) -> Mapping[str, Callable[[], None]]:
    """Return what must hold for a process to be ready."""
    engine = app.services.engine
    return {
        "database": lambda: ping(engine),
        "schema": lambda: require_schema(engine),
        "broker": _hears(app, steps),
    }


def _hears(app: App, steps: list[str]) -> Callable[[], None]:
    """Return what tells whether a process has its broker: a worker by the loops that read it."""
    if steps:
        return partial(require_beating, ["consumer", *["inbox"] * (ACCEPT in steps)])
    bounds = {"read_timeout": 3, "write_timeout": 3}
    return Line(app.connection_for_read(connect_timeout=3, transport_options=bounds)).require


def _await_schema(app: App) -> None:
    """Wait for a database that is not up yet; one with an older schema ends the process."""
    while True:
        try:
            return require_schema(app.services.engine)
        except DatabaseError as error:
            log.warning("database_unreachable", reason=describe(error), next="tries again in 2 s")
            time.sleep(2)


def declare(app: App) -> None:
    """Declare the topology, waiting for a broker that is not up yet.

    Raises:
        ConfigurationError: something is there in another shape, or the broker refuses us.
    """
    url = app.services.settings.broker_url
    while True:
        try:
            declare_now(app)
        except topology.REFUSALS as error:
            raise unreachable(error, url) from None
        except topology.PUBLISH_ERRORS as error:
            log.warning("broker_unreachable", reason=why(error, url), next="tries again in 2 s")
            time.sleep(2)
        else:
            return


def declare_now(app: App) -> Mapping[str, QueueLoad]:
    """Declare the topology within 30 s; return the loads of the queues.

    Raises:
        ConfigurationError: something is there in another shape.
        PUBLISH_ERRORS: the broker is away, or refuses us.
    """
    with connected(app.services.settings) as connection:
        lost = topology.missing(connection)
        topology.declare(connection)
        return topology.loads(connection, lost)


def scheduler() -> None:
    """Release, look, relay, probe, reconcile, sweep and prune until SIGTERM; several may run, one works."""
    settings = load_settings()
    readers = Readers()
    app = _start(settings, [], lambda app: _metrics(app.services) + readers.exposition())
    loop = Scheduler(app.services, lambda: declare_once(app), readers)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    log.info("scheduler_started", pid=os.getpid())
    loop.run()
    app.services.close()
    log.info("scheduler_stopped")


def _metrics(services: Services) -> bytes:
    return exposition(usage(services.engine, services.outlook))


def declare_once(app: App) -> Mapping[str, QueueLoad]:
    """Declare the topology within 30 s. What is there in another shape is told, and stops nothing else.

    Raises:
        PUBLISH_ERRORS: the broker is away, or refuses.
    """
    try:
        return declare_now(app)
    except ConfigurationError as error:
        log.error("topology_refused", reason=str(error), next="all else goes on; tries again with the next sweep")
        return {}
