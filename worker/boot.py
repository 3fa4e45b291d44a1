"""How any process of the service starts: logs, probes, schema, topology, in the order in which they can fail."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from worker.app import ACCEPT, App, create_app
from worker.broker import topology
from worker.broker.connection import connected, unreachable, why
from worker.broker.topology import QueueLoad
from worker.config.environment import Settings
from worker.database.engine import DatabaseError, describe, ping
from worker.database.schema import require_schema
from worker.errors import ConfigurationError
from worker.intake.hearing import Line, require_beating
from worker.log import Log
from worker.telemetry import watchdog
from worker.telemetry.health import start_health_server
from worker.telemetry.logs import configure_logging, log_what_is_uncaught
from worker.telemetry.ports import listening
from worker.work.services import Services

log = Log(__name__)

Measure = Callable[[Services], bytes]
"""Writes metrics in the text format that Prometheus reads."""


@contextmanager
def opened_app(settings: Settings, steps: Sequence[str], measure: Measure | None = None) -> Iterator[App]:
    """Start a process that does these steps, and give its app; what it has is given back when it ends.

    Raises:
        ConfigurationError: schema, topology, port or temporary files are not right, or the broker refuses us.
    """
    configure_logging(settings.telemetry.log_level)
    log_what_is_uncaught()
    app = create_app(settings, steps)
    if settings.telemetry.health_port:
        metrics = partial(measure, app.services) if measure else None
        with listening("SAM3D_HEALTH_PORT", settings.telemetry.health_port):
            start_health_server(settings.telemetry.health_port, _readiness(app, steps), metrics)
    watchdog.watch(settings.process.stall_limit)
    _await_schema(app)
    declare(app)
    try:
        yield app
    finally:
        app.close()


def _readiness(app: App, steps: Sequence[str]) -> Mapping[str, Callable[[], None]]:
    """Return what must hold for a process to be ready."""
    engine = app.services.engine
    return {
        "database": lambda: ping(engine),
        "schema": lambda: require_schema(engine),
        "broker": _hears(app, steps),
    }


def _hears(app: App, steps: Sequence[str]) -> Callable[[], None]:
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
    url = app.services.settings.broker.url
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
    with connected(app.services.settings.broker) as connection:
        lost = topology.missing(connection)
        topology.declare(connection)
        return topology.loads(connection, lost)


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
