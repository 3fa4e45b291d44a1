"""What became of jobs: ``jobs``, ``job``."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from worker.cli.opened import opened_database
from worker.cli.show import brief, head, json_text, print_json, print_table, print_values, say, sized, titled
from worker.database import clocks, files, reading
from worker.database.engine import Connection, transaction
from worker.errors import InvalidMessage, Sam3dError
from worker.rules.lifecycle import JobState
from worker.vendor.verbatim import shown as shown_body


def job_uuid(text: str) -> str:
    """Read a job's id."""
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidMessage("job_id", "`ID` must be a UUID, as `sam3d jobs` shows it.") from None


def jobs(state: JobState | None, limit: int, *, as_json: bool) -> None:
    """List the newest jobs."""
    with opened_database() as (_, engine), transaction(engine) as connection:
        rows = reading.newest_jobs(connection, state, limit)
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "why": _why(row)} for row in rows]
        print_table(shown, ["id", "state", "age", "why"], "jobs")


def _why(row: Mapping[str, Any]) -> str | None:
    """Say why a job is not further, or what it failed of; of a run that jobs share at least that it is one."""
    return row["waits_for"] or row["error_code"] or ("a run that jobs share" if row["is_shared"] else None)


def job(job_id: str, *, is_verbose: bool, as_json: bool) -> None:
    """Show a job: its photo, how it stands, what it waits for, what it cost; its submits, outputs and history."""
    wanted = job_uuid(job_id)
    with opened_database() as (_, engine), transaction(engine) as connection:
        shown = {**describe_job(connection, wanted), "result": said_of(connection, wanted)}
        seen_at = clocks.read(connection)
    if as_json:
        print_json(shown)
    else:
        print_job(shown, seen_at, is_verbose=is_verbose)


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
        "photos": reading.photos_of(connection, job_id),
        "submissions": reading.submissions_of(connection, job_id),
        "outputs": files.of_job(connection, job_id),
        "sharers": reading.sharers_of(connection, job_id),
        "history": reading.history(connection, job_id),
    }


def said_of(connection: Connection, job_id: str) -> Mapping[str, Any] | None:
    """Read what the vendor said of a job's run that completed, without what it may quote."""
    said, parameters = reading.result_of(connection, job_id) or (None, {})
    return shown_body(said, parameters) if said else None


def print_job(shown: Mapping[str, Any], seen_at: datetime, *, is_verbose: bool = False) -> None:
    """Print a job for a person: what is asked first, the internals where they are wanted, then its tables."""
    print_values(_set({**_asked_first(shown, seen_at), **{name: shown[name] for name in _SENDERS}}), WIDTH)
    if is_verbose:
        head("internals")
        others = {name: value for name, value in shown.items() if name not in {*_TOLD, *_SENDERS, *_APART, *_TABLES}}
        print_values(_set(others), WIDTH)
        _print_result(shown.get("result"))
    for name, columns in _TABLES.items():
        if shown[name]:
            head(name)
            print_table(shown[name], columns)


def _print_result(said: Mapping[str, Any] | None) -> None:
    """Print what the vendor said, as the JSON that it is."""
    if said:
        head(f"{said['said_by']}, as the vendor gave it" + (", cut" if said["is_cut"] else ""))
        say(json_text(said["body"]).rstrip(), keep="\n")


def _asked_first(shown: Mapping[str, Any], seen_at: datetime) -> Mapping[str, Any]:
    """Return what a person asks first: what it is of, how it stands and for how long, why, and what it cost."""
    is_over = shown["finished_at"] is not None
    return {
        "id": shown["id"],
        **{"photo" if photo["name"] == "image" else photo["name"]: _described(photo) for photo in shown["photos"]},
        "state": shown["state"],
        "accepted at": shown["accepted_at"],
        "took" if is_over else "age": (shown["finished_at"] if is_over else seen_at) - shown["accepted_at"],
        "waits_for": shown["waits_for"],
        "error": " ".join(filter(None, (shown["error_message"], shown["error_code"] and f"({shown['error_code']})"))),
        "cost": None if shown["cost"] is None else f"{brief(shown['cost'])} USD",
    }


def _described(photo: Mapping[str, Any]) -> str:
    """Say what is known of a photo: its kind and size, or whose address it is at."""
    if photo["host"]:
        return f"at {photo['host']}"
    return f"{photo['media_type'] or 'of unknown kind'}, {sized(photo['bytes'])}"


def _set(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {titled(name): value for name, value in values.items() if value not in (None, {}, 0, "")}


WIDTH = 19
"""Of the names in front of values: the longest of a job's."""

_TOLD = ("id", "photos", "state", "accepted_at", "waits_for", "error_code", "error_message", "cost")
_APART = ("result",)
_SENDERS = ("idempotency_key", "metadata", "retry_of", "shares", "request_id")

_TABLES = {
    "submissions": ("intended_at", "answered_at", "http_status", "verdict", "detail"),
    "outputs": ("name", "media_type", "bytes"),
    "sharers": ("id", "state"),
    "history": ("occurred_at", "type", "was_routed"),
}
"""The tables of a job, and the columns that a person looks at."""
