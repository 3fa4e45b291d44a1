"""What is measured and how: a load, the CPU of each kind of process, and the servers that all are measured with."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import httpx
import psutil
import psycopg
from celery import Celery

from tests.support.deployment import Service
from tests.support.judge import tiny_image
from tests.support.services.ports import free_ports
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.database.schema import upgrade

WORKERS, SLOTS = 2, 8
ALL = "accept,submit,poll,fetch"
FIRST, LAST = 0.2, 0.8
"""Of the jobs, between which everything is measured: the first and the last do not fill the machine."""

IN_HAND = 330
"""Jobs that are sent and have not ended, for each second that a run takes: more than keep two cores busy."""

LONGEST = 600.0
"""For each part, s."""

Pids = Mapping[str, Sequence[int]]
"""Processes by what they are: workers, broker, database, vendor."""


@dataclass(frozen=True)
class Speed:
    """Jobs a second, and CPU of each kind of process, ms a job."""

    name: str
    jobs_a_second: float
    cpu: Mapping[str, float]
    counted: Mapping[str, float]

    def __str__(self) -> str:
        """Print it for a person."""
        cpu = ", ".join(f"{kind} {spent:.1f}" for kind, spent in self.cpu.items())
        counts = "".join(f"; {each:.1f} {what}" for what, each in self.counted.items())
        return f"{self.name}: {self.jobs_a_second:.1f} jobs/s; CPU a job, ms: {cpu}{counts}"


@dataclass(frozen=True)
class Load:
    """What is measured: how many jobs have ended, how more are sent, by which processes they are done."""

    name: str
    jobs: int
    ended: Callable[[], int]
    send: Callable[[int], None]
    pids: Pids
    run_seconds: float
    counts: Callable[[], Mapping[str, int]] = dict


def measured(load: Load) -> Speed:
    """Keep so many jobs in hand that the machine is full, and measure what lies between the first and the last ends."""
    first, last = round(load.jobs * FIRST), round(load.jobs * LAST)
    sent = _kept_full(load, 0, first)
    began, begin_at, spent, counted = load.ended(), time.monotonic(), cpu_seconds(load.pids), load.counts()
    _kept_full(load, sent, last)
    done, took = load.ended() - began, time.monotonic() - begin_at
    cpu = {kind: (now - spent[kind]) * 1000 / done for kind, now in cpu_seconds(load.pids).items()}
    counts = {what: (now - counted[what]) / done for what, now in load.counts().items()}
    return Speed(load.name, done / took, cpu, counts)


def _kept_full(load: Load, sent: int, until: int) -> int:
    """Send a job for each that ends, until so many have; return how many were sent."""
    ends_at = time.monotonic() + LONGEST
    while (ended := load.ended()) < until:
        assert time.monotonic() < ends_at, f"{load.name}: {ended} of {load.jobs} jobs ended in {LONGEST} s"
        missing = min(round(IN_HAND * load.run_seconds) + ended, load.jobs) - sent
        load.send(missing)
        sent += missing
        time.sleep(0.05)
    return sent


def cpu_seconds(pids: Pids) -> Mapping[str, float]:
    """Return the seconds that each kind of process has used so far, its children with it."""
    return {kind: sum(map(_spent, ids)) for kind, ids in pids.items()}


def _spent(pid: int) -> float:
    spent = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


@dataclass(frozen=True)
class Bench:
    """The servers that all are measured with."""

    postgres: PrivatePostgres
    rabbitmq: PrivateRabbit
    vendor_url: str
    vendor: subprocess.Popen[bytes]
    run_seconds: float

    def seen(self) -> Mapping[str, float]:
        """Return what the stand-in has seen: see its :class:`tests.benchmarks.stand_in.StandIn`."""
        return dict(httpx.get(f"{self.vendor_url}/seen").json())

    def fetched(self) -> int:
        """Return how many files the stand-in has given."""
        return int(self.seen()["files"])

    def pids(self, workers: Sequence[int], **more: Sequence[int]) -> Pids:
        """Return the processes that are measured."""
        broker = self.rabbitmq._node
        assert broker
        return {"worker": workers, **more, "broker": [broker.pid], "vendor": [self.vendor.pid]}


@contextmanager
def bench(run_seconds: float) -> Iterator[Bench]:
    """Start a broker, a database and the stand-in."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.benchmarks.stand_in", str(port), str(run_seconds)]
    with PrivatePostgres() as postgres, PrivateRabbit() as rabbitmq, subprocess.Popen(command) as vendor:
        try:
            wait_until(lambda: _answers(url), "the stand-in answers")
            yield Bench(postgres, rabbitmq, url, vendor, run_seconds)
        finally:
            vendor.kill()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/seen").is_success
    except httpx.TransportError:
        return False


@dataclass(frozen=True)
class Deployed:
    """Our service as it is measured: its processes, its database, and what sends it requests."""

    service: Service
    broker_url: str
    connection: "psycopg.Connection[tuple[int]]"
    send: Callable[[int], None]
    pids: Pids

    def succeeded(self) -> int:
        """Count the jobs that have since it began: to count old ones as well takes longer than a job does."""
        return self.count(
            "SELECT count(*) FROM jobs WHERE state = 'succeeded' AND finished_at > sam3d_now() - interval '12 hours'"
        )

    def count(self, query: LiteralString) -> int:
        """Return the number that a query gives."""
        [number] = self.connection.execute(query).fetchone() or [0]
        return number

    def work(self) -> Mapping[str, int]:
        """Count what the database did: transactions, its log in bytes, and updates, those in place as well."""
        row = self.connection.execute(
            "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, updated, in_place "
            "FROM pg_stat_database, (SELECT sum(n_tup_upd)::bigint AS updated, sum(n_tup_hot_upd)::bigint AS in_place "
            "FROM pg_stat_user_tables) AS tables WHERE datname = current_database()"
        ).fetchone()
        assert row
        return dict(zip(("transactions", "bytes of WAL", "updates", "updates in place"), map(int, row), strict=True))


Fill = Callable[[str], None]
"""Puts something into a database, by its address."""


def _nothing(_: str) -> None:
    """Leave a database as it is."""


@contextmanager
def deployed(
    servers: Bench,
    logs: Path,
    name: str,
    settings: Mapping[str, str],
    *,
    workers: Sequence[str] = (ALL,) * WORKERS,
    has: Fill = _nothing,
) -> Iterator[Deployed]:
    """Start a scheduler and workers on a virtual host of their own and a database that ``has`` what is put there.

    A worker is given by the steps that it does.
    """
    database = f"speed_{name.replace(' ', '_')}"
    url = servers.postgres.create_database(database)
    upgrade(url)
    has(url)
    environment = {
        "SEGMIND_API_KEY": "SG_0123456789abcdef",
        "SEGMIND_BASE_URL": servers.vendor_url,
        "SEGMIND_ACCOUNT_URL": servers.vendor_url,
        "SAM3D_OUTPUT_HOSTS": servers.vendor_url,
        "SAM3D_BROKER_URL": servers.rabbitmq.create_vhost(database),
        "SAM3D_DATABASE_URL": url,
        "SAM3D_EXPECTED_RUN": str(servers.run_seconds),
        **settings,
    }
    service = Service(environment, logs)
    with ExitStack() as stack:
        stack.callback(service.stop)
        service.start("scheduler", "scheduler")
        wait_until(lambda: "scheduler_leads" in service.log_of("scheduler"), "the scheduler leads")
        for number, steps in enumerate(workers):
            service.start(f"worker {number}", "worker", "--concurrency", str(SLOTS), "--steps", steps)
        connection = stack.enter_context(psycopg.connect(url.replace("+psycopg", ""), autocommit=True))
        send = stack.enter_context(sender(environment["SAM3D_BROKER_URL"], "sam3d.reconstruct", "sam3d.requests"))
        ids = [each.pid for each in service.processes.values()]
        pids = servers.pids(ids, database=[servers.postgres._running.pid])
        yield Deployed(service, environment["SAM3D_BROKER_URL"], connection, send, pids)


@contextmanager
def sender(broker_url: str, task: str, queue: str) -> Iterator[Callable[[int], None]]:
    """Give what sends so many requests as a plain Celery producer does."""
    producer = Celery("producer", broker=broker_url)
    image = tiny_image()

    def send(jobs: int) -> None:
        for _ in range(jobs):
            producer.send_task(task, kwargs={"image": image}, queue=queue)

    yield send
    producer.close()
