"""Equal requests that come in by themselves, and what became of their jobs and of the runs that they share."""

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from tests.support.in_process import wait_until_due
from tests.support.requests import request, rows
from worker.app import App
from worker.intake.accept import accept
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp
from worker.rules.origin import Origin
from worker.work.executor import execute


def send(app: App, source: str = "shop", **fields: Any) -> tuple[str, FollowUp | None]:
    """Let a request come; return its job's id and the submit that follows."""
    derived = derived_job_id("celery", uuid4().hex)
    return str(derived), accept(app.services, request(**fields), derived, origin=Origin(source, None))


def send_all(app: App, count: int) -> tuple[list[str], FollowUp]:
    """Let some equal requests come; return their jobs' ids and the one submit."""
    sent = [send(app) for _ in range(count)]
    [submit] = [follow_up for _, follow_up in sent if follow_up]
    return [job_id for job_id, _ in sent], submit


def drive(app: App, follow_up: FollowUp | None) -> None:
    """Do all steps that are left."""
    while follow_up:
        wait_until_due(app, follow_up)
        follow_up = execute(app.services, follow_up.step, follow_up.ticket)


def states(app: App) -> Mapping[str, int]:
    """Count the jobs that somebody asked for by their states."""
    return Counter(row["state"] for row in rows(app, "SELECT state FROM jobs WHERE NOT is_shared"))


def told(app: App, kind: str) -> list[dict[str, Any]]:
    """Return what was announced under a type, the oldest first."""
    query = "SELECT payload FROM events WHERE type = :type ORDER BY position"
    return [row["payload"] for row in rows(app, query, type=f"sam3d.reconstruction.{kind}")]


def row_of(app: App, job_id: str) -> dict[str, Any]:
    """Return a job's row."""
    return rows(app, "SELECT * FROM jobs WHERE id = :id", id=UUID(job_id))[0]
