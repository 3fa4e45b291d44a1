"""Whether the queues have readers: what the scheduler tells of one that has messages and nobody to read them."""

import time
from collections.abc import Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from worker.broker.topology import QueueLoad
from worker.log import Log

log = Log(__name__)


class Readers:
    """Remembers since when a queue has messages and no reader."""

    def __init__(self) -> None:
        self._unread_since: dict[str, float] = {}

    def see(self, loads: Mapping[str, QueueLoad], grace: timedelta) -> None:
        """Take in the loads of the queues, and warn of each that nobody has read for longer than ``grace``."""
        now = time.monotonic()
        unread = {name: each.messages for name, each in loads.items() if each.is_unread}
        self._unread_since = {name: self._unread_since.get(name, now) for name in unread}
        for name, since in self._unread_since.items():
            if (seconds := now - since) >= grace.total_seconds():
                log.warning("queue_unread", queue=name, messages=unread[name], seconds=round(seconds), next=_NEXT)

    def exposition(self) -> bytes:
        """Write for Prometheus for how long each queue has had messages and no reader."""
        registry = CollectorRegistry()
        meaning = "For how long a queue has had messages and no reader."
        gauge = Gauge("sam3d_queue_unread_seconds", meaning, ["queue"], registry=registry)
        for name, since in list(self._unread_since.items()):
            gauge.labels(name).set(round(time.monotonic() - since, 1))
        return generate_latest(registry)


_NEXT = "waits for a worker that does this step; start one if none runs"
