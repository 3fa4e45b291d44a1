"""The processes of the service: ``worker``, ``scheduler``."""

import gc
import os
import signal
import sys

from worker.app import STEPS, run_worker
from worker.boot import declare_once, opened_app
from worker.cli.main import OFTEN
from worker.config.environment import Settings, load_settings
from worker.errors import InvalidMessage
from worker.log import Log
from worker.telemetry.metrics import exposition, usage
from worker.upkeep.holdings import Holdings
from worker.upkeep.readers import Readers
from worker.upkeep.scheduler import Scheduler
from worker.work.services import Services

log = Log(__name__)


def worker(steps: str, concurrency: int | None) -> None:
    """Work on jobs until SIGTERM, which lets the steps in hand finish."""
    chosen = [step.strip() for step in steps.split(",")]
    if unknown := sorted(set(chosen) - set(STEPS)):
        raise InvalidMessage("steps", f"`--steps` has no {', '.join(unknown)}; choose from {', '.join(STEPS)}.")
    gc.set_threshold(*OFTEN)
    settings = _given(load_settings(), concurrency)
    with opened_app(settings, chosen) as app:
        if not (settings.vendor.api_key or settings.vendor.api_key_file):
            log.warning("key_missing", next="set SEGMIND_API_KEY or SEGMIND_API_KEY_FILE; until then every job waits")
        log.info("worker_started", steps=chosen, concurrency=settings.process.concurrency, pid=os.getpid())
        code = run_worker(app, chosen, settings.process.concurrency)
    log.info("worker_stopped", exit_code=code)
    sys.exit(code)


def _given(settings: Settings, concurrency: int | None) -> Settings:
    return settings.having(SAM3D_CONCURRENCY=concurrency) if concurrency else settings


def scheduler() -> None:
    """Release, look, relay, probe, reconcile, sweep and prune until SIGTERM; several may run, one works."""
    gc.set_threshold(*OFTEN)
    readers, holdings = Readers(), Holdings()

    def measure(services: Services) -> bytes:
        budget = exposition(usage(services.engine, services.account, services.outlook.terms()))
        return budget + readers.exposition() + holdings.exposition(services.engine)

    with opened_app(load_settings(), [], measure) as app:
        loop = Scheduler(app.services, lambda: declare_once(app), readers)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.stop())
        log.info("scheduler_started", pid=os.getpid())
        loop.run()
    log.info("scheduler_stopped")
