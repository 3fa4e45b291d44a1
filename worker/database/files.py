"""A job's outputs: what is known of each file, and where its bytes are."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Insert, bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.records import outputs
from worker.rules.output_files import StoredFile


def add(connection: Connection, job_id: str, files: Sequence[StoredFile]) -> None:
    """Write the rows of files whose bytes are stored."""
    if files:
        connection.execute(_adding(), [_row(job_id, file) for file in files])


@cache
def _adding() -> Insert:
    return insert(outputs)


def _row(job_id: str, file: StoredFile) -> dict[str, Any]:
    return {"job_id": job_id, **facts_of(file)}


def facts_of(file: StoredFile) -> dict[str, Any]:
    """Return what a row says of a file, beside whose it is."""
    return {
        "name": file.name,
        "media_type": file.media_type,
        "bytes": file.size,
        "sha256": file.sha256,
        "location": file.location,
        "role": file.role,
        "geometry": file.geometry and file.geometry.to_json(),
    }


FACTS = ("name", "media_type", "bytes", "sha256", "location", "role", "geometry")
"""What :func:`facts_of` says."""


def add_once(connection: Connection, job_id: str, file: StoredFile) -> Mapping[str, Any]:
    """Write the row of a file, unless the job has one of its name; return the row that it has then."""
    row = upsert(outputs).values(_row(job_id, file))
    connection.execute(row.on_conflict_do_nothing(index_elements=[outputs.c.job_id, outputs.c.name]))
    has_it = select(*_COLUMNS).where(outputs.c.job_id == job_id, outputs.c.name == file.name)
    return dict(connection.execute(has_it).mappings().one())


def remove(connection: Connection, job_id: str) -> None:
    """Forget the files of a job: they were made for another."""
    connection.execute(outputs.delete().where(outputs.c.job_id == job_id))


_COLUMNS = [outputs.c[name] for name in ("id", "name", "media_type", "bytes", "sha256", "location", "geometry")]


def of_job(connection: Connection, job_id: str) -> Sequence[Mapping[str, Any]]:
    """List the outputs of a job: id, name, media_type, bytes, sha256, location, geometry."""
    return [dict(row) for row in connection.execute(_of_job(), {"job": job_id}).mappings()]


@cache
def _of_job() -> Executable:
    return select(*_COLUMNS).where(outputs.c.job_id == bindparam("job")).order_by(outputs.c.id)


def of_id(connection: Connection, output_id: int) -> Mapping[str, Any] | None:
    """Find an output by the number of its row; as ``of_job`` lists it."""
    row = connection.execute(select(*_COLUMNS).where(outputs.c.id == output_id)).mappings().one_or_none()
    return dict(row) if row else None
