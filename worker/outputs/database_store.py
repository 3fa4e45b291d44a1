"""Files that PostgreSQL keeps, in chunks: each statement, and whatever goes with it, is a transaction of its own."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar

from worker.database import blobs
from worker.database.blobs import CHUNK_BYTES
from worker.database.engine import Connection, Engine, single, transaction
from worker.rules.output_files import FetchedFile

SENT = 8
"""Chunks that are written with one wait for the database: 2 MiB of memory for each thread that stores a file."""

READ = 4

Name = TypeVar("Name", str, int)


class DatabaseStore:
    """A store in the service's own database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, location: str, file: FetchedFile) -> None:
        """Write a file that is not whole there yet."""
        file.content.seek(0)
        with single(self._engine) as connection:
            if file.size <= CHUNK_BYTES:
                blobs.add(connection, location, file.content.read())
                return
            if blobs.touch(connection, location, file.size):
                return
        self._write(location, file)

    def _write(self, location: str, file: FetchedFile) -> None:
        """Write the chunks of a file that was touched just now: nobody deletes it for a day."""
        count = -(-file.size // CHUNK_BYTES)
        for first in range(0, count, SENT):
            contents = [file.content.read(CHUNK_BYTES) for _ in range(first, min(first + SENT, count))]
            with single(self._engine) as connection:
                blobs.add_chunks(connection, location, first, contents, count)

    def read(self, location: str, start: int) -> Iterator[bytes]:
        """Give the bytes of a file from one on."""
        return in_chunks(self._engine, blobs.chunks, location, start)

    def link(self, location: str, within: timedelta) -> str | None:  # noqa: ARG002
        """Leave it to the file server: nobody else is let into the database."""
        return None

    def erase(self, location: str) -> None:
        """Leave it to the database, whose chunks go with the row of their file."""


def in_chunks(
    engine: Engine, read: Callable[[Connection, Name, int, int], Sequence[bytes]], name: Name, start: int
) -> Iterator[bytes]:
    """Read a file a few chunks at a time; no transaction is open while the reader is slow."""
    position, skipped = divmod(start, CHUNK_BYTES)
    while True:
        with transaction(engine) as connection:
            chunks = read(connection, name, position, READ)
        if not chunks:
            return
        for chunk in chunks:
            yield bytes(chunk[skipped:])
            skipped = 0
        position += len(chunks)
