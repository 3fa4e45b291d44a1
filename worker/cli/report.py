"""``report``: a page of the newest jobs, with their models to be turned."""

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.cli.look import describe_job
from worker.cli.opened import opened_database
from worker.cli.page import Sheet, models_of, page
from worker.cli.show import note, print_json, say, writable_folder
from worker.database import clocks, reading
from worker.database.engine import Connection, transaction
from worker.errors import ConfigurationError, StoreUnavailable
from worker.outputs.stores import Stores


def report(path: Path, limit: int, *, as_json: bool) -> None:
    """Write a page of the newest jobs; it needs nothing but itself."""
    writable_folder(path.parent)
    with opened_database() as (settings, engine):
        with transaction(engine) as connection:
            sheet = _sheet(connection, limit)
        write_page(page(sheet, partial(_model_of, Stores(settings.storage, engine))), path)
    inside = sum(model.is_inside for model in models_of(sheet.jobs))
    if as_json:
        print_json({"path": path, "jobs": len(sheet.jobs), "models": inside})
    else:
        note(f"{len(sheet.jobs)} jobs, {inside} models; open it in a browser:")
        say(str(path))


def _sheet(connection: Connection, limit: int) -> Sheet:
    newest = reading.newest_jobs(connection, None, limit, has_runs=False)
    return Sheet("Jobs", clocks.read(connection), [describe_job(connection, job["id"]) for job in newest])


def _model_of(stores: Stores, file: Mapping[str, Any]) -> bytes | None:
    """Read a model; None for one that can't be had or is not what was stored, which the page says then."""
    try:
        content = b"".join(stores.read(file))
    except (StoreUnavailable, ConfigurationError) as error:
        note(f"{file['name']} is left out: {error}")
        return None
    if hashlib.sha256(content).hexdigest() == file["sha256"]:
        return content
    note(f"{file['name']} of {file['sha256'][:12]}… is left out: what was read is not what was stored")
    return None


def write_page(pieces: Iterable[str], path: Path) -> None:
    """Write a page, complete or not at all."""
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with partial.open("w", encoding="utf-8") as target:
            target.writelines(pieces)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
