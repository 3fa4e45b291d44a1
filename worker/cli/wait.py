"""Jobs that were sent before: ``wait``. Their rows are looked at, so it needs the database and no broker."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.progress import TimeElapsedColumn

from worker.cli import progress
from worker.cli.look import job_uuid
from worker.cli.opened import opened_database
from worker.cli.outcomes import place_of, tell
from worker.cli.output import write_output
from worker.cli.show import writable_folder
from worker.database import files, reading
from worker.database.engine import Connection, DatabaseError, Engine, transaction
from worker.outputs.stores import Stores
from worker.rules.lifecycle import JobState

LOOK_SECONDS = 1.0

ARRIVAL = timedelta(seconds=30)
"""How long a request that was sent may be on its way; whose job is not there by then has none."""


def wait(job_ids: Sequence[str], folder: Path | None, timeout: float, *, as_json: bool) -> None:
    """Wait for the outcomes of jobs, and write the files of those that succeeded into a folder, if one is given."""
    wanted = list(dict.fromkeys(map(job_uuid, job_ids)))
    if folder:
        writable_folder(folder)
    with opened_database() as (settings, engine):
        stores = Stores(settings.storage, engine)
        ended = _follow(engine, wanted, timedelta(seconds=timeout))
        rows = [{**_told(row), "files": _written(engine, stores, row, folder, len(wanted))} for row in ended.values()]
    tell(rows, len(wanted), as_json=as_json)


def _follow(engine: Engine, wanted: Sequence[str], within: timedelta) -> dict[str, Mapping[str, Any]]:
    """Look once a second until each job has its outcome or the time is over; return the rows of those that have."""
    begun, ended = time.monotonic(), dict[str, Mapping[str, Any]]()
    with progress.bars(progress.Words("stage"), TimeElapsedColumn()) as shown:
        bars = {job_id: shown.add_task(job_id, total=1, stage="") for job_id in wanted}
        while True:
            passed = timedelta(seconds=time.monotonic() - begun)
            for job_id in [each for each in wanted if each not in ended]:
                row = _look(engine, job_id, is_late=passed >= min(ARRIVAL, within))
                if row["is_over"]:
                    ended[job_id] = row
                shown.update(bars[job_id], completed=row["is_over"], stage=row["state"])
            if len(ended) == len(wanted) or passed >= within:
                return ended
            time.sleep(min(LOOK_SECONDS, max(0.0, (within - passed).total_seconds())))


def _look(engine: Engine, job_id: str, *, is_late: bool) -> Mapping[str, Any]:
    """Look how a job stands; a database that is away comes back."""
    try:
        with transaction(engine) as connection:
            row = _standing(connection, job_id)
    except DatabaseError:
        return {"state": "the database does not answer", "is_over": False}
    return row or {**_UNKNOWN, "id": job_id, "is_over": is_late}


_UNKNOWN = {"state": "unknown", "error_code": "unknown", "error_message": "There is no such job; see `sam3d jobs`."}


def _standing(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """Return the row of a job, of the one that its request became, or what was announced in place of one."""
    row = reading.job_row(connection, job_id)
    if row:
        return {**row, "is_over": JobState(row["state"]).is_final}
    told = reading.told_of(connection, job_id) or {}
    if other := told.get("duplicate_of"):
        return _standing(connection, other)
    if error := told.get("error"):
        refused = {f"error_{name}": each for name, each in error.items()}
        return {**refused, "id": job_id, "state": "refused", "is_over": True}
    return None


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of an outcome, named as in an event."""
    names = ("code", "message", "field")
    error = {name: row[f"error_{name}"] for name in names if row.get(f"error_{name}")}
    return {"job_id": row["id"], "state": row["state"], **({"error": error} if error else {})}


def _written(engine: Engine, stores: Stores, row: Mapping[str, Any], folder: Path | None, count: int) -> list[str]:
    """Write the files of a job, of so many that are waited for."""
    if folder is None or row["state"] != JobState.SUCCEEDED:
        return []
    place = writable_folder(place_of(row["id"], folder, count))
    with transaction(engine) as connection:
        made = files.of_job(connection, row["id"])
    return [str(write_output(stores, each, place)) for each in made]
