"""What becomes of many requests at once: ``python -m tests.benchmarks.burst --jobs 100000``.

Prints how fast one worker accepts them while it works on them, what memory it takes, and whether all have ended and
none was submitted twice; exits with 1 if not. With ``--by-role`` one worker accepts, and another does the rest, as they
are deployed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks.load import ALL, SLOTS, Bench, Deployed, bench, deployed

LOOK_SECONDS = 0.5


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--within", type=float, default=1200, help="until all have ended, s")
    parser.add_argument("--by-role", action="store_true", help="a worker that accepts, and one that does the rest")
    asked = parser.parse_args()
    workers = ("accept", "submit,poll,fetch") if asked.by_role else (ALL,)
    with bench(run_seconds=3.0) as servers:
        logs = Path(tempfile.mkdtemp(prefix="sam3d-burst-"))
        with deployed(servers, logs, "burst", {}, workers=workers) as mine:
            mine.send(asked.jobs)
            is_good = _watched(servers, mine, asked.jobs, asked.within)
    sys.exit(not is_good)


def _watched(servers: Bench, mine: Deployed, jobs: int, within: float) -> bool:
    workers = [psutil.Process(each.pid) for name, each in mine.service.processes.items() if name.startswith("worker")]
    began, before = time.monotonic(), mine.count("SELECT count(*) FROM jobs")
    accepted_in, most = 0.0, 0
    while (ended := mine.succeeded()) < jobs and time.monotonic() < began + within:
        most = max(most, *(each.memory_info().rss for each in workers))
        if not accepted_in and mine.count("SELECT count(*) FROM jobs") >= jobs:
            accepted_in = time.monotonic() - began
            print(f"accepted while {SLOTS} slots work: {(jobs - before) / accepted_in:.0f} a second", flush=True)
        time.sleep(LOOK_SECONDS)
    posts, took = int(servers.seen()["posts"]), time.monotonic() - began
    print(f"{ended} of {jobs} ended in {took:.0f} s, {posts} submits; a worker had {most / 2**20:.0f} MiB at most")
    return ended == posts == jobs


if __name__ == "__main__":
    main()
