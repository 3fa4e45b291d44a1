"""How many jobs two cores carry, and what each costs: ``make bench-speed``.

Prints, in one run on one stand-in for the vendor: this service, a bare Celery loop and the vendor's SDK in blocking
threads. The figures are this machine's; the ratios of one run can be compared.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import psutil
import psycopg
from celery import Celery

from tests.benchmarks.rivals import THREADS
from tests.support.deployment import Service
from tests.support.judge import tiny_image
from tests.support.services.ports import free_ports
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.database.schema import upgrade

WORKERS, SLOTS = 2, 8
FIRST, LAST = 0.2, 0.8
"""Of the jobs, between which everything is measured: the first and the last do not fill the machine."""

IN_HAND = 1000
"""Jobs that are sent and have not ended: more than runs of 3 s keep two cores busy with."""

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
    counts: Callable[[], Mapping[str, int]] = dict


def measured(load: Load) -> Speed:
    """Keep so many jobs in hand that the machine is full, and measure what lies between the first and the last ends."""
    first, last = round(load.jobs * FIRST), round(load.jobs * LAST)
    sent = _kept_full(load, 0, first)
    began, begin_at, spent, counted = load.ended(), time.monotonic(), _cpu(load.pids), load.counts()
    _kept_full(load, sent, last)
    done, took = load.ended() - began, time.monotonic() - begin_at
    cpu = {kind: (now - spent[kind]) * 1000 / done for kind, now in _cpu(load.pids).items()}
    counts = {what: (now - counted[what]) / done for what, now in load.counts().items()}
    return Speed(load.name, done / took, cpu, counts)


def _kept_full(load: Load, sent: int, until: int) -> int:
    """Send a job for each that ends, until so many have; return how many were sent."""
    ends_at = time.monotonic() + LONGEST
    while (ended := load.ended()) < until:
        assert time.monotonic() < ends_at, f"{load.name}: {ended} of {load.jobs} jobs ended in {LONGEST} s"
        missing = min(IN_HAND + ended, load.jobs) - sent
        load.send(missing)
        sent += missing
        time.sleep(0.05)
    return sent


def _cpu(pids: Pids) -> Mapping[str, float]:
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

    def fetched(self) -> int:
        """Return how many files the stand-in has given."""
        return int(httpx.get(f"{self.vendor_url}/count").json()["files"])

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
        return httpx.get(f"{url}/count").is_success
    except httpx.TransportError:
        return False


def ours(servers: Bench, jobs: int, logs: Path, name: str = "sam3d", **settings: str) -> Speed:
    """Measure this service, every guarantee on: messages of a plain Celery producer to ``succeeded``."""
    database = f"speed_{name.replace(' ', '_')}"
    url = servers.postgres.create_database(database)
    upgrade(url)
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
        for number in range(WORKERS):
            service.start(f"worker {number}", "worker", "--concurrency", str(SLOTS))
        connection = stack.enter_context(psycopg.connect(url.replace("+psycopg", ""), autocommit=True))
        send = stack.enter_context(_sender(environment["SAM3D_BROKER_URL"], "sam3d.reconstruct", "sam3d.requests"))
        workers = [each.pid for each in service.processes.values()]
        pids = servers.pids(workers, database=[servers.postgres._running.pid])
        ended, counts = partial(_succeeded, connection), partial(_work_of, connection)
        return measured(Load(name, jobs, ended, send, pids, counts))


def _succeeded(connection: "psycopg.Connection[tuple[int]]") -> int:
    row = connection.execute("SELECT count(*) FROM jobs WHERE state = 'succeeded'").fetchone()
    return row[0] if row else 0


def _work_of(connection: "psycopg.Connection[tuple[int]]") -> Mapping[str, int]:
    """Count what the database did: transactions, its log in bytes, and updates, those in place as well."""
    row = connection.execute(
        "SELECT xact_commit, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, updated, in_place "
        "FROM pg_stat_database, (SELECT sum(n_tup_upd)::bigint AS updated, sum(n_tup_hot_upd)::bigint AS in_place "
        "FROM pg_stat_user_tables) AS tables WHERE datname = current_database()"
    ).fetchone()
    assert row
    return dict(zip(("transactions", "bytes of WAL", "updates", "updates in place"), map(int, row), strict=True))


@contextmanager
def _sender(broker_url: str, task: str, queue: str) -> Iterator[Callable[[int], None]]:
    """Give what sends so many requests as a plain Celery producer does."""
    producer = Celery("producer", broker=broker_url)
    image = tiny_image()

    def send(jobs: int) -> None:
        for _ in range(jobs):
            producer.send_task(task, kwargs={"image": image}, queue=queue)

    yield send
    producer.close()


def bare(servers: Bench, jobs: int, logs: Path) -> Speed:
    """Measure a Celery loop without intent, lease, outbox, events or rows."""
    broker_url = servers.rabbitmq.create_vhost("bare")
    environment = {
        **os.environ,
        "BARE_BROKER_URL": broker_url,
        "BARE_VENDOR_URL": servers.vendor_url,
        "BARE_RUN_SECONDS": str(servers.run_seconds),
    }
    command = [sys.executable, "-m", "celery", "-A", "tests.benchmarks.rivals", "worker", "-P", "threads"]
    commands = [[*command, "-c", str(SLOTS), "-n", f"{number}@bare"] for number in range(WORKERS)]
    with _sender(broker_url, "bare.submit", "celery") as send:
        return _rival("bare Celery loop", servers, jobs, commands, (logs, environment), send)


def sdk(servers: Bench, jobs: int, logs: Path) -> Speed:
    """Measure the vendor's SDK in blocking threads, which need nobody who sends."""
    command = [sys.executable, "-m", "tests.benchmarks.rivals", servers.vendor_url]
    return _rival(f"SDK in {THREADS} threads", servers, jobs, [command], (logs, os.environ), lambda _: None)


def _rival(
    name: str,
    servers: Bench,
    jobs: int,
    commands: Sequence[Sequence[str]],
    runs_in: tuple[Path, Mapping[str, str]],
    send: Callable[[int], None],
) -> Speed:
    logs, environment = runs_in
    before = servers.fetched()
    with (logs / "rival.log").open("ab") as log:
        started = [subprocess.Popen(each, env=environment, stdout=log, stderr=log) for each in commands]
        try:
            pids = servers.pids([each.pid for each in started])
            return measured(Load(name, jobs, lambda: servers.fetched() - before, send, pids))
        finally:
            for each in started:
                each.kill()
                each.wait()


def main() -> None:
    """Measure all and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--run", type=float, default=3.0, help="how long runs take, s")
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="sam3d-speed-"))
    with bench(asked.run) as servers:
        mine = ours(servers, asked.jobs, logs)
        print(mine, flush=True)
        limited = ours(servers, asked.jobs, logs, "with a limit", SAM3D_REQUESTS_PER_MINUTE="100000")
        print(limited, flush=True)
        loop = bare(servers, asked.jobs * 3, logs)
        print(loop, flush=True)
        blocking = sdk(servers, min(asked.jobs, 300), logs)
        print(blocking, flush=True)
    of_loop, of_sdk = (mine.jobs_a_second / each.jobs_a_second for each in (loop, blocking))
    limit = limited.jobs_a_second / mine.jobs_a_second
    print(
        f"{of_loop:.2f} of the bare loop's jobs, {of_sdk:.1f} times the SDK's; with a limit {limit:.2f} of that without"
    )


if __name__ == "__main__":
    main()
