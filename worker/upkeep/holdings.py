"""What is stored: how many files of each class there are in each store, and how large they are, for Prometheus."""

import threading
import time
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from worker.database import blobs
from worker.database.engine import Engine, transaction

COUNTED_FOR = 300.0
"""Seconds for which a count is told again: it reads a row for each file that there is."""


class Holdings:
    """Counts what is stored, seldom, however often it is asked."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._guard = threading.Lock()
        self._counted: Sequence[tuple[str, int, int]] = ()
        self._counts_again_at = steady()

    def exposition(self, engine: Engine) -> bytes:
        """Write how many files there are, and bytes in them; ``store`` is such as ``database``, ``role`` as ``output``.

        Raises:
            DatabaseError: nobody knows.
        """
        registry = CollectorRegistry()
        labels = ["store", "role"]
        files = Gauge("sam3d_files_stored", "Files that are stored, by store and role.", labels, registry=registry)
        size = Gauge("sam3d_bytes_stored", "Bytes of the files that are stored.", labels, registry=registry)
        for kind, count, volume in self._current(engine):
            store, _, role = kind.rpartition(":")
            files.labels(store, role).set(count)
            size.labels(store, role).set(volume)
        return generate_latest(registry)

    def _current(self, engine: Engine) -> Sequence[tuple[str, int, int]]:
        with self._guard:
            if self._steady() >= self._counts_again_at:
                with transaction(engine) as connection:
                    self._counted = blobs.stored(connection)
                self._counts_again_at = self._steady() + COUNTED_FOR
            return self._counted
