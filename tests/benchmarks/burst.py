"""What becomes of many requests at once: ``python -m tests.benchmarks.burst --jobs 100000``.

Prints how fast one worker accepts them while it works on them, what memory it takes, and whether all have ended and
none was submitted twice; exits with 1 if not.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks.load import SLOTS, Bench, Deployed, bench, deployed

LOOK_SECONDS = 0.5


def main() -> None:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--within", type=float, default=1200, help="until all have ended, s")
    asked = parser.parse_args()
    with bench(run_seconds=3.0) as servers:
        logs = Path(tempfile.mkdtemp(prefix="sam3d-burst-"))
        with deployed(servers, logs, "burst", {}, workers=1) as mine:
            mine.send(asked.jobs)
            is_good = _watched(servers, mine, asked.jobs, asked.within)
    sys.exit(not is_good)


def _watched(servers: Bench, mine: Deployed, jobs: int, within: float) -> bool:
    worker = psutil.Process(mine.service.processes["worker 0"].pid)
    began = time.monotonic()
    accepted_in, most = 0.0, 0
    while (ended := mine.succeeded()) < jobs and time.monotonic() < began + within:
        most = max(most, worker.memory_info().rss)
        if not accepted_in and mine.count("SELECT count(*) FROM jobs") >= jobs:
            accepted_in = time.monotonic() - began
            print(f"accepted by {SLOTS} slots that also work: {jobs / accepted_in:.0f} a second", flush=True)
        time.sleep(LOOK_SECONDS)
    posts, took = int(servers.seen()["posts"]), time.monotonic() - began
    print(f"{ended} of {jobs} ended in {took:.0f} s, {posts} submits; the worker had {most / 2**20:.0f} MiB at most")
    return ended == posts == jobs


if __name__ == "__main__":
    main()
