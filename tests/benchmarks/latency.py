"""How long a message and an event take where nothing else is done: ``python -m tests.benchmarks.latency``.

One job after the other, on a worker that is idle. Prints how long it is from a message that is sent to its POST, and
from the answer that a run is over to the event that its files are stored.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kombu import Connection, Consumer, Queue

from tests.benchmarks.load import ALL, Bench, Deployed, bench, deployed
from worker.broker.topology import events_exchange
from worker.rules.lifecycle import EventType


def latencies(servers: Bench, mine: Deployed, jobs: int) -> Iterator[tuple[float, float]]:
    """Yield how long each job took until its POST, and from its end to its event, s."""
    with _ends(mine.broker_url) as wait_for_end:
        for _ in range(jobs):
            sent_at = time.monotonic()
            mine.send(1)
            told_at = wait_for_end()
            seen = servers.seen()
            yield seen["posted_at"] - sent_at, told_at - seen["over_at"]


@contextmanager
def _ends(broker_url: str) -> Iterator[Callable[[], float]]:
    """Give what waits for the next event of a job that has succeeded, and returns when it came."""
    came: list[float] = []
    queue = Queue("", events_exchange, routing_key=EventType.SUCCEEDED.value, exclusive=True)

    def keep(_: object, __: object) -> None:
        came.append(time.monotonic())

    with Connection(broker_url) as connection, Consumer(connection, [queue], callbacks=[keep], no_ack=True):

        def wait_for_end() -> float:
            while not came:
                connection.drain_events(timeout=60)
            return came.pop()

        yield wait_for_end


def told(name: str, seconds: Sequence[float]) -> str:
    """Say the median and the slowest of twenty, ms."""
    ranks = statistics.quantiles([each * 1000 for each in seconds], n=20)
    return f"{name}: {ranks[9]:.1f} ms p50, {ranks[18]:.1f} ms p95"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    asked = parser.parse_args()
    with bench(run_seconds=1.0) as servers:
        logs = Path(tempfile.mkdtemp(prefix="sam3d-latency-"))
        with deployed(servers, logs, "idle", {}, workers=(ALL,)) as mine:
            for _ in latencies(servers, mine, 5):  # The first opens connections.
                pass
            posts, ends = zip(*latencies(servers, mine, asked.jobs), strict=True)
    print(told("message to POST", posts))
    print(told("run over to event", ends))


if __name__ == "__main__":
    main()
