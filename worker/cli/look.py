"""What became of jobs: ``jobs``, ``job``, ``output``, ``cancel``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from worker import intake
from worker.app import create_app
from worker.cli.show import AsJson, brief, head, print_json, print_table, say, writable_folder
from worker.client import write_file
from worker.config import load_settings
from worker.database import Connection, Engine, create_database_engine, require_schema, transaction
from worker.errors import InvalidMessage, Sam3dError
from worker.lifecycle import JobState
from worker.repository import outputs, reading

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


@contextmanager
def open_database() -> Iterator[Engine]:
    """Give the engine of a database that has our schema."""
    settings = load_settings()
    engine = create_database_engine(settings.database_url, 2)
    try:
        require_schema(engine)
        yield engine
    finally:
        engine.dispose()


def job_uuid(text: str) -> str:
    """Read a job's id."""
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidMessage("job_id", "`ID` must be a UUID, as `sam3d jobs` shows it.") from None


def jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    with open_database() as engine, transaction(engine) as connection:
        rows = reading.newest_jobs(connection, state, limit)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["id", "state", "age", "polls", "cost", "error_code", "waits_for"])


def job(job_id: JobId, as_json: AsJson = False) -> None:
    """Show all that is known of a job: its row, submits, outputs and history."""
    wanted = job_uuid(job_id)
    with open_database() as engine, transaction(engine) as connection:
        shown = describe_job(connection, wanted)
    if as_json:
        print_json(shown)
    else:
        print_job(shown)


def describe_job(connection: Connection, job_id: str) -> dict[str, Any]:
    """Read all that is known of a job.

    Raises:
        Sam3dError: there is no such job.
    """
    row = reading.job_row(connection, job_id)
    if row is None:
        raise Sam3dError(f"There is no job {job_id}; see `sam3d jobs`.")
    return {
        **row,
        "submissions": reading.submissions_of(connection, job_id),
        "outputs": outputs.of_job(connection, job_id),
        "history": reading.history(connection, job_id),
    }


def print_job(shown: Mapping[str, Any]) -> None:
    """Print a job for a person: what is set, then its submits, outputs and history."""
    for name, value in shown.items():
        if name not in _TABLES and value not in (None, {}, 0):
            say(f"{name.replace('_', ' '):19} {brief(value)}")
    for name, columns in _TABLES.items():
        if shown[name]:
            head(name)
            print_table(shown[name], columns)


_TABLES = {
    "submissions": ("intended_at", "answered_at", "http_status", "verdict", "detail"),
    "outputs": ("name", "media_type", "bytes"),
    "history": ("occurred_at", "type", "was_routed"),
}
"""The tables of a job, and the columns that a person looks at."""


def output(
    job_id: JobId,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Only this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a job's files; each is complete and checked, or is not there."""
    wanted = job_uuid(job_id)
    writable_folder(folder)
    with open_database() as engine, transaction(engine) as connection:
        files = [each for each in outputs.of_job(connection, wanted) if name in (None, each["name"])]
        if not files:
            raise Sam3dError(f"Job {job_id} has no such output; see `sam3d job {job_id}`.")
        paths = [write_file(outputs.chunks(connection, each["id"]), each, folder) for each in files]
    if as_json:
        print_json([{**each, "path": path} for each, path in zip(files, paths, strict=True)])
    else:
        for path in paths:
            say(str(path))


def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Give a job up: free before its submit; after it the run goes on at the vendor and is paid."""
    wanted = job_uuid(job_id)
    app = create_app(load_settings(), [])
    require_schema(app.services.engine)
    if not intake.cancel(app.services, wanted):
        with transaction(app.services.engine) as connection:
            state = describe_job(connection, wanted)["state"]
        raise Sam3dError(f"Job {job_id} is {state}; there is nothing to cancel.")
    app.services.close()
    if as_json:
        print_json({"job_id": wanted, "state": JobState.CANCELLED})
    else:
        say(f"{wanted} cancelled")
