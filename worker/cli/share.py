"""Files for whoever has a link: ``files``."""

import gc
import os
import signal

from worker.cli.main import OFTEN
from worker.config.environment import Settings, load_settings
from worker.database.engine import create_database_engine, ping
from worker.database.schema import require_schema
from worker.errors import ConfigurationError
from worker.log import Log
from worker.outputs.stores import Stores
from worker.telemetry import watchdog
from worker.telemetry.health import start_health_server
from worker.telemetry.logs import configure_logging, log_what_is_uncaught
from worker.telemetry.ports import listening

log = Log(__name__)


def files(port: int | None) -> None:
    """Give files to whoever has a link of ours, until SIGTERM; what was begun by then has a minute to end."""
    gc.set_threshold(*OFTEN)
    settings = load_settings()
    configure_logging(settings.telemetry.log_level)
    log_what_is_uncaught()
    if not settings.links.keys:
        raise ConfigurationError("No link leads to `sam3d files`: set SAM3D_PUBLIC_URL and SAM3D_LINK_KEY.")
    watchdog.watch(settings.process.stall_limit)
    _serve(settings, port or settings.links.port)
    log.info("files_stopped")


def _serve(settings: Settings, port: int) -> None:
    try:
        from worker.outputs.file_server import FileServer  # An extra that no other process needs.
        from worker.outputs.serving import Files
    except ModuleNotFoundError:
        raise ConfigurationError("`sam3d files` needs an extra: pip install 'sam3d-worker[files]'.") from None
    threads = settings.process.concurrency
    engine = create_database_engine(settings.database.url, threads + 2)
    stores = Stores(settings.storage, engine)
    stores.require()
    checks = {"database": lambda: ping(engine), "schema": lambda: require_schema(engine)}
    if settings.telemetry.health_port:
        with listening("SAM3D_HEALTH_PORT", settings.telemetry.health_port):
            start_health_server(settings.telemetry.health_port, checks)
    with listening("SAM3D_FILES_PORT", port):
        server = FileServer(Files(settings.links, engine, stores), port, threads)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    log.info("files_started", port=server.port, threads=threads, pid=os.getpid())
    server.serve(watchdog.heart("files").beat)
    engine.dispose()
