"""The files in each store: known here before their first byte is written, forgotten after their last is deleted.

Those that PostgreSQL itself keeps are in chunks, so that none is ever whole in memory.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Update, bindparam, delete, func, select, text, union, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from worker.database.records import blob_chunks, blobs, inputs, output_chunks, outputs
from worker.database.tables import now

CHUNK_BYTES = 256 * 1024


def touch(connection: Connection, location: str, size: int) -> bool:
    """Note that a file is put, so that it is not deleted for a day; return whether it is whole already."""
    return connection.execute(_touching(), {"location": location, "bytes": size}).scalar_one()


@cache
def _touching() -> ReturningInsert[bool]:
    again = upsert(blobs).on_conflict_do_update(index_elements=[blobs.c.location], set_={"loose_since": now})
    return again.returning(blobs.c.is_whole)


def add_chunk(connection: Connection, location: str, position: int, content: bytes) -> None:
    """Write a chunk; who writes the same file at the same time writes the same."""
    row = upsert(blob_chunks).values(location=location, position=position, content=content)
    connection.execute(row.on_conflict_do_nothing())


def end(connection: Connection, location: str) -> None:
    """Note that all of a file is written."""
    connection.execute(update(blobs).where(blobs.c.location == location).values(is_whole=True))


def chunks(connection: Connection, location: str, first: int, count: int) -> Sequence[bytes]:
    """Read some chunks of a file, from a position on; none once it has ended."""
    its = blob_chunks.c
    query = select(its.content).where(its.location == location, its.position >= first, its.position < first + count)
    return list(connection.execute(query.order_by(its.position)).scalars())


def chunks_of_output(connection: Connection, output_id: int, first: int, count: int) -> Sequence[bytes]:
    """Read some chunks of an output that an earlier release stored."""
    its = output_chunks.c
    query = select(its.content).where(its.output_id == output_id, its.position >= first, its.position < first + count)
    return list(connection.execute(query.order_by(its.position)).scalars())


def name(connection: Connection, locations: Sequence[str]) -> None:
    """Note that rows name these files from now on; the deletion of a row notes by itself that it does no more."""
    connection.execute(_naming(), {"locations": locations})


@cache
def _naming() -> Update:
    named = bindparam("locations", type_=blobs.c.location.type, expanding=True)
    return update(blobs).where(blobs.c.location.in_(named)).values(loose_since=None)


def loose(age: timedelta) -> Select[Any]:
    """Find files that no row has named for that long, as far as it is noted."""
    return select(blobs.c.location).where(blobs.c.loose_since < now - age).order_by(blobs.c.loose_since)


def forget_loose(connection: Connection, old: Select[Any], limit: int, erase: Callable[[str], bool]) -> int:
    """Delete files that no row names; return how many were looked at.

    ``erase`` deletes the bytes that are elsewhere, or says that it could not: then it is tried again a day later. Who
    puts such a file meanwhile waits for its row, and then writes it anew.
    """
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '120s'"))  # A store may be slow.
    chosen = list(connection.execute(old.limit(limit).with_for_update(skip_locked=True)).scalars())
    named = _named(connection, chosen) if chosen else []
    name(connection, named)
    gone = [each for each in chosen if each not in named and erase(each)]
    left = [each for each in chosen if each not in named and each not in gone]
    connection.execute(delete(blobs).where(blobs.c.location.in_(gone)))
    connection.execute(update(blobs).where(blobs.c.location.in_(left)).values(loose_since=now))
    return len(chosen)


def _named(connection: Connection, locations: Sequence[str]) -> Sequence[str]:
    """Return those of some files that a row names."""
    rows = [select(each).where(each.in_(locations)) for each in (outputs.c.location, inputs.c.location)]
    return list(connection.execute(union(*rows)).scalars())


def stored(connection: Connection) -> Sequence[tuple[str, int, int]]:
    """Return how many files each class of each store has, and how many bytes: ``database:output``, 3, 60000."""
    kind = func.split_part(blobs.c.location, "/", 1)
    query = select(kind, func.count(), func.sum(blobs.c.bytes)).group_by(kind).order_by(kind)
    return [(str(name), int(count), int(size)) for name, count, size in connection.execute(query)]
