"""Where the bytes of files are: each is kept once, under what it holds, and is never seen half-written.

One store is written to, an object store where one is set; all are read from, so that a change of it moves nothing.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from importlib import import_module
from typing import Any, Protocol

from worker.config.conduct import StorageSettings
from worker.database import blobs
from worker.database.engine import DatabaseError, Engine, describe
from worker.errors import ConfigurationError, StoreUnavailable
from worker.outputs.database_store import DatabaseStore, in_chunks
from worker.rules.output_files import FetchedFile, StoredFile


class Role(StrEnum):
    """What a file is for: the folder that it is in, so that a bucket can let each go at its time."""

    OUTPUT = "output"
    INPUT = "input"
    EVIDENCE = "evidence"
    PROBE = "probe"


ENDINGS = {f"image/{kind}": f".{kind}" for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff")}
"""What the places of photos end with, which others fetch: some tell by its end what an address leads to."""


class Store(Protocol):
    """A place for files; a location such as ``database:output/sha256/ab/abcd…`` names what a file holds."""

    def put(self, location: str, file: FetchedFile) -> None:
        """Write a file, whole or not at all; it is noted in the database before its first byte."""

    def read(self, location: str, start: int) -> Iterator[bytes]:
        """Give the bytes of a file from one on."""

    def link(self, location: str, within: timedelta) -> str | None:
        """Sign an address that gives the file to anybody for that long; None where the store has none."""

    def erase(self, location: str) -> None:
        """Delete the bytes of a file that the database does not have itself."""


class Stores:
    """The stores of a process; each is opened when it is needed first.

    Their operations raise:
        StoreUnavailable: the store can't be asked, refuses, or does not have the file.
        ConfigurationError: the file is in an object store, and none is set.
    """

    def __init__(self, settings: StorageSettings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._opened: dict[str, Store] = {}

    def put(self, file: FetchedFile, role: Role = Role.OUTPUT) -> StoredFile:
        """Keep a file; the row that names it is to be committed within a day.

        Safe to do twice because a file's place is what it holds: the second time finds it there.
        """
        name = "objects" if self._settings.store_url else "database"
        ending = ENDINGS.get(file.media_type, "") if role is Role.INPUT else ""
        location = f"{name}:{role}/sha256/{file.sha256[:2]}/{file.sha256}{ending}"
        try:
            self._store_of(location).put(location, file)
        except DatabaseError as error:
            raise StoreUnavailable(f"The file was not stored ({describe(error)}).") from None
        return StoredFile(file.name, file.media_type, file.size, file.sha256, location, file.geometry)

    def read(self, output: Mapping[str, Any], start: int = 0) -> Iterator[bytes]:
        """Give the bytes of an output, by its row, from one on."""
        if output["location"] is None:
            return in_chunks(self._engine, blobs.chunks_of_output, output["id"], start)
        return self._store_of(output["location"]).read(output["location"], start)

    @property
    def has_objects(self) -> bool:
        """Whether an object store is set."""
        return bool(self._settings.store_url)

    def address(self, location: str, within: timedelta) -> str:
        """Sign an address of a photo; of one moment, each number of seconds makes another one."""
        if address := self._store_of(location).link(location, within):
            return address
        raise StoreUnavailable("The file has no address: its store can't sign any.")

    def link(self, output: Mapping[str, Any], within: timedelta) -> str | None:
        """Sign an address of an output, by its row, that is good for that long; None where its store has none."""
        location = output["location"]
        return self._store_of(location).link(location, within) if location else None

    def erase(self, location: str) -> None:
        """Delete the bytes of a file that no row names."""
        self._store_of(location).erase(location)

    def require(self) -> None:
        """Find out whether what is set can be opened, before anything is paid for it; nothing is connected."""
        if self._settings.store_url:
            self._store_of("objects:")

    def try_out(self) -> None:
        """Write a small file, read it, and delete it: all that this process needs to be allowed to."""
        with self.probe() as (location, content):
            if b"".join(self._store_of(location).read(location, 0)) != content:
                raise StoreUnavailable("The store gives back another file than it was given.")

    @contextmanager
    def probe(self) -> Iterator[tuple[str, bytes]]:
        """Keep a small file for a moment; give its place and what it holds."""
        content = b"sam3d"
        sha256 = hashlib.sha256(content).hexdigest()
        file = FetchedFile("probe", "text/plain", len(content), sha256, io.BytesIO(content))
        location = self.put(file, Role.PROBE).location
        yield location, content
        self.erase(location)

    def _store_of(self, location: str) -> Store:
        name = location.partition(":")[0]
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> Store:
        if name == "database":
            return DatabaseStore(self._engine)
        if not self._settings.store_url:
            raise ConfigurationError("This file is in an object store: set SAM3D_STORE_URL as it was.")
        try:  # An extra, and slow to import; who has none does without.
            objects = import_module("worker.outputs.object_store")
        except ModuleNotFoundError:
            raise ConfigurationError("SAM3D_STORE_URL needs an extra: pip install 'sam3d-worker[store]'.") from None
        store: Store = objects.ObjectStore(self._settings.store_url, self._engine)
        return store
