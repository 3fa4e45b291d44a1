"""What became of jobs that were waited for, and the exit code that says it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from worker.cli.show import print_json, say
from worker.errors import WaitTimeout
from worker.rules.lifecycle import JobState


def tell(rows: Sequence[Mapping[str, Any]], waited_for: int, *, as_json: bool) -> None:
    """Print what became of each job, and end with the code that says whether all is well.

    Raises:
        WaitTimeout: some had no outcome in time.
        Exit: some did not succeed.
    """
    if as_json:
        print_json(rows)
    for row in [] if as_json else rows:
        why = row.get("error", {}).get("message", "")
        say(*filter(None, (row["job_id"], row.get("state", "refused"), why, *row["files"])))
    if len(rows) < waited_for:
        raise WaitTimeout(f"{waited_for - len(rows)} of {waited_for} jobs had no outcome in time; they go on.")
    if any(row.get("state") != JobState.SUCCEEDED for row in rows):
        raise typer.Exit(1)


def place_of(job_id: str, folder: Path, count: int) -> Path:
    """Return where a job's files go: of one job into the folder; of several, ended or not, each into its own in it."""
    return folder / job_id if count > 1 else folder
