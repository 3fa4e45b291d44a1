"""Composition root: builds the Celery app, its exchanges and queues, and what its tasks work with."""

import socket
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any
from uuid import uuid4

from celery import Celery, signals
from celery.app.amqp import AMQP
from kombu.connection import ConnectionPool
from kombu.pools import ProducerPool

from worker import tasks
from worker.broker import topology
from worker.broker.connection import connection_options
from worker.config.environment import Settings
from worker.intake.inbox import InboxStep
from worker.log import Log
from worker.outputs.download import require_room
from worker.rules.lifecycle import Step
from worker.telemetry import failpoints
from worker.telemetry.logs import say_at_once
from worker.work import noticing
from worker.work.room import give_back_memory
from worker.work.services import Services, open_services

log = Log(__name__)

ACCEPT = "accept"
STEPS = (ACCEPT, *Step)
"""What a worker can be told to do; without being told it does all."""

POOL = "worker.intake.threads:Threads"


class Queues(AMQP):
    """Celery's queues, read by a consumer of ours."""

    @property
    def Consumer(self) -> Any:  # type: ignore[override]  # noqa: N802
        """The class that reads queues, with as many slots as the worker has."""
        from worker.intake.consumer import QueueConsumer  # Who only sends does without a worker program.

        return partial(QueueConsumer, slots=self.app.conf.worker_concurrency)

    app: "App"

    @cached_property
    def producer_pool(self) -> ProducerPool:
        """What publishes, on connections of this app alone."""
        return ProducerPool(self.app.pool, limit=self.app.pool.limit)


class App(Celery):
    """A Celery app that has the services of its process."""

    amqp_cls = "worker.app:Queues"
    services: Services

    @cached_property
    def pool(self) -> ConnectionPool:  # type: ignore[override]
        """The connections of this app alone.

        kombu's own pools have one limit for the process, that of whichever app came last: a producer with an app of
        its own would shrink ours while they are in use, or we its, which is an error.
        """
        return ConnectionPool(self.connection_for_write(), limit=self.conf.broker_pool_limit)

    def close(self) -> None:
        """Give all connections back: nothing can be sent or done after."""
        self.services.post.close()
        self.pool.force_close_all()
        self.services.close()
        super().close()


def create_app(settings: Settings, steps: Sequence[str] = STEPS) -> App:
    """Build the app of a process. Nothing is connected yet."""
    failpoints.arm(settings.process.failpoints)
    if Step.FETCH in steps:
        require_room()
    # The only fix-up is Django's, which imports the whole worker program for whoever just sends.
    app = App("sam3d", broker=settings.broker.url, set_as_current=False, fixups=[])
    app.conf.update(_celery_settings(settings))
    app.services = open_services(settings, app.producer_pool, steps)
    app.services.stores.require()
    app.services.post.receipts.require()
    noticing.watch(app.services)
    tasks.register(app, app.services)
    if ACCEPT in steps:
        app.steps["worker"].add(InboxStep)
    return app


def _celery_settings(settings: Settings) -> dict[str, Any]:
    broker = connection_options(settings.broker)
    return {
        "task_queues": [topology.requests_queue, *topology.step_queues.values()],
        "task_default_queue": topology.REQUESTS,
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "result_backend": None,
        "task_acks_late": True,
        "task_acks_on_failure_or_timeout": True,
        "task_reject_on_worker_lost": True,
        "task_protocol": 2,
        "worker_consumer": "worker.intake.consumer:Consumer",
        "worker_prefetch_multiplier": 1,
        "worker_concurrency": settings.process.concurrency,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 5,
        "broker_heartbeat": 20,
        "broker_pool_limit": settings.process.concurrency + 4,
        "broker_transport_options": broker["transport_options"],
        "broker_use_ssl": broker["ssl"],
        "broker_login_method": broker["login_method"],
        "enable_utc": True,
    }


def run_worker(app: App, steps: Sequence[str], concurrency: int) -> int:
    """Consume the queues of the steps until SIGTERM, which lets running tasks finish; return the exit code."""
    from celery.apps import worker as program

    give_back_memory()
    queues = [topology.REQUESTS] * (ACCEPT in steps) + [topology.queue_name(step) for step in Step if step in steps]
    # What Celery says in the handler of a signal would be no line of the log.
    program.safe_say = say_at_once  # type: ignore[attr-defined]
    # Who hangs up ends it as SIGTERM does: Celery would run its command line once more, under another name.
    program.install_worker_restart_handler = partial(program.install_worker_term_handler, sig="SIGHUP")  # type: ignore[attr-defined]
    worker = app.Worker(
        # Two workers of one name would share a queue of Celery's own, which brokers refuse.
        hostname=f"sam3d-{uuid4().hex[:8]}@{socket.gethostname()}",
        pool=POOL,
        concurrency=concurrency,
        queues=queues,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,  # Its events for monitors; the heartbeats of the connection stay.
        quiet=True,
        loglevel="INFO",
    )
    app.services.session.keep()
    app.services.post.start()
    worker.start()
    return int(worker.exitcode or 0)


@signals.worker_ready.connect(weak=False)
def _tell_ready(**_: Any) -> None:
    log.info("worker_ready")


@signals.setup_logging.connect(weak=False)
def _keep_our_logging(**_: Any) -> None:
    """Keep Celery from setting up logs of its own: a receiver is all it asks for."""
