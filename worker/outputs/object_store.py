"""Files in an object store: S3 and its like, Google's, Azure's, or a folder. Credentials come as each cloud gives them.

Reached through obstore, whose errors quote addresses and answers: of these only codes are told.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from worker.database import blobs
from worker.database.engine import Engine, single
from worker.errors import ConfigurationError, StoreUnavailable
from worker.rules.output_files import FetchedFile

PART = 5 * 2**20
"""Bytes of a part, the least that S3 takes; a larger file is sent in parts, and is there with the last of them."""

READ = 2**20
FRESH = timedelta(hours=12)
"""An object of that age is written anew, as a bucket's own rule may be about to delete it for its age."""

_CLIENT: Any = {"connect_timeout": "5s", "timeout": "15s"}
"""A part in that time is 350 KB a second."""

_RETRY: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_CODE = re.compile(
    r"<Code>(\w{1,40})</Code>|status code: (\d{3})|(dns error|Connection refused|timed out|builder error)"
)


class ObjectStore:
    """A store that many services share; the database knows of each file before its first byte is sent."""

    def __init__(self, url: str, engine: Engine) -> None:
        self._engine = engine
        try:
            self._store = _opened(url)
        except (BaseError, ValueError, OSError) as error:
            raise ConfigurationError(f"SAM3D_STORE_URL can't be opened ({told(error)}).") from None

    def put(self, location: str, file: FetchedFile) -> None:
        """Write a file that is not there yet, with its type, which a signed address could not carry."""
        with single(self._engine) as connection:
            blobs.touch(connection, location, file.size)
        with _said("not stored"):
            age = self._age(location, file.size)
            if age is None or age > FRESH:
                self._send(location, file, is_new=age is None)

    def _send(self, location: str, file: FetchedFile, *, is_new: bool) -> None:
        file.content.seek(0)
        mode = "create" if is_new and file.size <= PART else "overwrite"
        try:
            obstore.put(
                self._store,
                key_of(location),
                file.content,
                mode=mode,  # type: ignore[arg-type]
                attributes=None if isinstance(self._store, LocalStore) else _attributes(file),
                chunk_size=PART,
                max_concurrency=2,
            )
        except AlreadyExistsError:  # Somebody who had the same was quicker.
            return

    def _age(self, location: str, size: int) -> timedelta | None:
        """Return how old an object is; None where there is none of that size."""
        try:
            found = obstore.head(self._store, key_of(location))
        except FileNotFoundError:
            return None
        return datetime.now(UTC) - found["last_modified"] if found["size"] == size else None

    def read(self, location: str, start: int) -> Iterator[bytes]:
        """Give the bytes of a file from one on."""
        with _said("not read"):
            found = obstore.get(self._store, key_of(location), options={"range": {"offset": start}} if start else None)
            for chunk in found.stream(min_chunk_size=READ):
                yield bytes(chunk)

    def link(self, location: str, within: timedelta) -> str | None:
        """Sign an address of a file; a folder has none. Some clouds are asked for it, some keys sign here."""
        if isinstance(self._store, LocalStore):
            return None
        with _said("not given a link"):
            return str(obstore.sign(self._store, "GET", key_of(location), within))

    def erase(self, location: str) -> None:
        """Delete a file; one that is not there is deleted already."""
        with _said("not deleted"), suppress(FileNotFoundError):
            obstore.delete(self._store, key_of(location))


def key_of(location: str) -> str:
    """Return the key of a location within its store."""
    return location.partition(":")[2]


def _opened(url: str) -> Any:
    if url.startswith("file:"):
        return from_url(url, mkdir=True)
    # Options of ours take the place of all that obstore reads of its client from the environment, this one too.
    is_plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
    options: Any = {**_CLIENT, "allow_http": is_plain}
    return from_url(url, client_options=options, retry_config=_RETRY)


def _attributes(file: FetchedFile) -> Any:
    return {"Content-Type": file.media_type, "Content-Disposition": f'attachment; filename="{file.name}"'}


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Tell what a store refuses in a sentence of ours."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        raise StoreUnavailable(f"The file was {what}: the object store says {told(error)}.") from None


def told(error: Exception) -> str:
    """Say why an operation failed, by the kind of the error and the codes in it."""
    found = (next(filter(None, match)) for match in _CODE.findall(str(error)))
    return " ".join(dict.fromkeys([type(error).__name__, *found]))
