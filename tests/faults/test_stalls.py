"""A worker whose loop stands still ends, to be started anew; one that was frozen, or waits for its broker, does not."""

import json
import signal
import time

import psycopg

from tests.support.deployment import Service, start_worker
from tests.support.judge import Judge
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.telemetry.watchdog import EXIT_CODE

LIMIT = "3"


def test_a_stalled_inbox_ends_the_worker(deployment: Service, judge: Judge) -> None:
    """It says which loop it was; the request that it had in hand is done by the next worker."""
    start_worker(deployment, SAM3D_STALL_LIMIT=LIMIT)
    stalled = deployment.processes["worker"]
    url = deployment.environment["SAM3D_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        ids = judge.submit(1)
        wait_until(lambda: stalled.poll() is not None, "the worker ends")
    assert stalled.returncode == EXIT_CODE
    lines = [json.loads(line) for line in deployment.log_of("worker").splitlines() if "process_stalled" in line]
    assert [(line["stalled"], line["level"]) for line in lines] == [("inbox", "error")]
    deployment.start("scheduler", "scheduler")
    start_worker(deployment)
    judge.check(ids)


def test_who_was_frozen_or_waits_for_the_broker_has_not_stalled(
    deployment: Service, judge: Judge, rabbitmq: PrivateRabbit
) -> None:
    """Time in which a process did not run is not counted, nor is time without a broker."""
    deployment.start("scheduler", "scheduler")
    names = ("awake", "frozen")
    for name in names:
        start_worker(deployment, name, SAM3D_STALL_LIMIT=LIMIT)
    rabbitmq.settle()
    deployment.processes["frozen"].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    rabbitmq.stop()
    wait_until(lambda: "inbox_disconnected" in deployment.log_of("awake"), "the worker has lost its broker")
    rabbitmq.start()
    assert time.monotonic() - began > float(LIMIT)
    deployment.processes["frozen"].send_signal(signal.SIGCONT)
    judge.check(judge.submit(8))
    for name in names:
        assert deployment.processes[name].poll() is None, name
        assert "process_stalled" not in deployment.log_of(name)
