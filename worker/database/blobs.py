"""The files in each store: known here before their first byte is written, forgotten after their last is deleted.

Those that PostgreSQL itself keeps are in chunks, so that none is ever whole in memory.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from worker.database.records import blob_chunks, blobs, inputs, output_chunks, outputs, walks
from worker.database.tables import now

CHUNK_BYTES = 256 * 1024


def touch(connection: Connection, location: str, size: int) -> bool:
    """Note that a file is put, so that it is not deleted for a day; return whether it is whole already."""
    return connection.execute(_touching(), {"location": location, "bytes": size}).scalar_one()


@cache
def _touching() -> ReturningInsert[bool]:
    again = upsert(blobs).on_conflict_do_update(index_elements=[blobs.c.location], set_={"loose_since": now})
    return again.returning(blobs.c.is_whole)


def add(connection: Connection, location: str, content: bytes) -> None:
    """Write a file of one chunk, whole, by one statement; one that is there already is put once more."""
    connection.execute(_adding(), {"location": location, "bytes": len(content), "content": content})


@cache
def _adding() -> Insert:
    row = upsert(blobs).values(location=bindparam("location"), bytes=bindparam("bytes"), is_whole=True)
    again = row.on_conflict_do_update(index_elements=[blobs.c.location], set_={"loose_since": now, "is_whole": True})
    # It comes after the row, whose lock is waited for where somebody forgets the file just now.
    blob = again.returning(blobs.c.location).cte("blob")
    content = bindparam("content", type_=blob_chunks.c.content.type)
    chunk = upsert(blob_chunks).from_select(["location", "position", "content"], select(blob, literal(0), content))
    return chunk.on_conflict_do_nothing()


def add_chunks(connection: Connection, location: str, first: int, contents: Sequence[bytes], count: int) -> None:
    """Write some chunks of a file that has ``count``, from a position on; with the last one it is whole.

    They are waited for together, and come all or not at all. Who writes the same file at the same time writes the same.
    """
    its = {"file": location, "last": count - 1}
    connection.execute(_adding_chunk(), [{**its, "at": at, "chunk": each} for at, each in enumerate(contents, first)])


@cache
def _adding_chunk() -> Update:
    chunk, file, at = blob_chunks.c, bindparam("file", type_=Text), bindparam("at", type_=Integer)
    row = select(file, at, bindparam("chunk", type_=chunk.content.type))
    added = upsert(blob_chunks).from_select([chunk.location, chunk.position, chunk.content], row)
    whole = update(blobs).where(blobs.c.location == file, at == bindparam("last", type_=Integer)).values(is_whole=True)
    return whole.add_cte(added.on_conflict_do_nothing().cte("added"))


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


def loose(age: timedelta) -> Select[Any]:
    """Find files that no row names, and that none has named, nor anybody put, for that long."""
    is_named = or_(*(exists().where(each == blobs.c.location) for each in _NAMES))
    return select(blobs.c.location).where(blobs.c.loose_since < now - age, ~is_named)


_NAMES = (outputs.c.location, inputs.c.location)

PAGE = 500
"""Files that are looked at in a transaction: with one each 15 seconds, three million a day."""


def forget_loose(connection: Connection, old: Select[Any], limit: int, erase: Callable[[str], bool]) -> int:
    """Delete files that no row names, of the next in the order of their places; return how many were found.

    No index has those: each file would be written to it, and out of it again as soon as a row names it. ``erase``
    deletes the bytes that are elsewhere, or says that it could not: then it is tried again a day later. Who puts such a
    file meanwhile waits for its row, and then writes it anew; whoever names one has put it less than a day before.
    """
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '120s'"))  # A store may be slow.
    after, last = _page(connection)
    its = (blobs.c.location > after, true() if last is None else blobs.c.location <= last)
    chosen = list(connection.execute(old.where(*its).limit(limit).with_for_update(skip_locked=True)).scalars())
    loose = set(chosen) - set(_named(connection, chosen)) if chosen else ()
    gone = [each for each in loose if erase(each)]
    left = [each for each in loose if each not in gone]
    connection.execute(delete(blobs).where(blobs.c.location.in_(gone)))
    connection.execute(update(blobs).where(blobs.c.location.in_(left)).values(loose_since=now))
    if len(chosen) < limit:
        _reach(connection, after, last or "")
    return len(chosen)


def _page(connection: Connection) -> tuple[str, str | None]:
    """Return after which file the walk goes on, and the last of its next page; None: those are all."""
    after = connection.execute(select(walks.c.reached).where(walks.c.name == blobs.name)).scalar() or ""
    page = select(blobs.c.location).where(blobs.c.location > after).order_by(blobs.c.location)
    return after, connection.execute(page.offset(PAGE - 1).limit(1)).scalar()


def _reach(connection: Connection, before: str, reached: str) -> None:
    if reached != before:
        row = upsert(walks).values(name=blobs.name, reached=reached)
        connection.execute(row.on_conflict_do_update(index_elements=[walks.c.name], set_={"reached": reached}))


def _named(connection: Connection, locations: Sequence[str]) -> Sequence[str]:
    """Return those of some files that a row names."""
    rows = [select(each).where(each.in_(locations)) for each in _NAMES]
    return list(connection.execute(union(*rows)).scalars())


def stored(connection: Connection) -> Sequence[tuple[str, int, int]]:
    """Return how many files each class of each store has, and how many bytes: ``database:output``, 3, 60000."""
    kind = func.split_part(blobs.c.location, "/", 1)
    query = select(kind, func.count(), func.sum(blobs.c.bytes)).group_by(kind).order_by(kind)
    return [(str(name), int(count), int(size)) for name, count, size in connection.execute(query)]
