"""A job's files, in chunks, so that none is ever whole in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from sqlalchemy import Connection, insert, select

from worker.database.records import output_chunks, outputs
from worker.rules.outcome import StoredFile

CHUNK_BYTES = 256 * 1024


def add(connection: Connection, job_id: str, files: Sequence[StoredFile]) -> None:
    """Store downloaded files."""
    for file in files:
        row = insert(outputs).values(
            job_id=job_id, name=file.name, media_type=file.media_type, bytes=file.size, sha256=file.sha256
        )
        output_id = connection.execute(row.returning(outputs.c.id)).scalar_one()
        _add_chunks(connection, output_id, file.content)


def _add_chunks(connection: Connection, output_id: int, content: BinaryIO) -> None:
    content.seek(0)
    position = 0
    while chunk := content.read(CHUNK_BYTES):
        connection.execute(insert(output_chunks).values(output_id=output_id, position=position, content=chunk))
        position += 1


def remove(connection: Connection, job_id: str) -> None:
    """Forget the files of a job: they were made for another."""
    connection.execute(outputs.delete().where(outputs.c.job_id == job_id))


def of_job(connection: Connection, job_id: str) -> Sequence[Mapping[str, Any]]:
    """List the outputs of a job: id, name, media_type, bytes, sha256."""
    columns = (outputs.c.id, outputs.c.name, outputs.c.media_type, outputs.c.bytes, outputs.c.sha256)
    query = select(*columns).where(outputs.c.job_id == job_id).order_by(outputs.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def chunks(connection: Connection, output_id: int) -> Iterator[bytes]:
    """Read an output chunk by chunk."""
    query = select(output_chunks.c.content).where(output_chunks.c.output_id == output_id)
    position = 0
    while chunk := connection.execute(query.where(output_chunks.c.position == position)).scalar():
        yield bytes(chunk)
        position += 1
