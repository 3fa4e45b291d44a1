"""How many jobs two cores carry, and what each costs: ``make bench-speed``.

Prints, in one run on one stand-in for the vendor: this service, a bare Celery loop and the vendor's SDK in blocking
threads. The figures are this machine's; the ratios of one run can be compared. Runs of 32 s want `--jobs 15000`: as
many are in hand at a time as end in them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.benchmarks.load import SLOTS, WORKERS, Bench, Load, Speed, bench, deployed, measured, sender
from tests.benchmarks.rivals import THREADS

WARM = 1000
"""Jobs that are not counted: servers that were started just now are slower than those that run for a minute."""


def ours(servers: Bench, jobs: int, logs: Path, name: str = "sam3d", **settings: str) -> Speed:
    """Measure this service, every guarantee on: messages of a plain Celery producer to ``succeeded``."""
    with deployed(servers, logs, name, settings) as mine:
        return measured(Load(name, jobs, mine.succeeded, mine.send, mine.pids, servers.run_seconds, mine.work))


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
    with sender(broker_url, "bare.submit", "celery") as send:
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
            return measured(Load(name, jobs, lambda: servers.fetched() - before, send, pids, servers.run_seconds))
        finally:
            for each in started:
                each.kill()
                each.wait()


def main() -> None:
    """Measure all and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--run", type=float, default=3.0, help="how long runs take, s")
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="sam3d-speed-"))
    with bench(asked.run) as servers:
        ours(servers, WARM, logs, "warming up")
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
