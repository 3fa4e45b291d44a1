"""What a receipt is made of: the rows of a job, all of one moment where they are read in one transaction."""

from typing import Any

from sqlalchemy import Connection, Select, select

from worker.database.records import events, inputs, outputs, submissions
from worker.database.tables import jobs
from worker.rules.lifecycle import CURRENT_EVENT
from worker.rules.receipt import TIMES, Particulars

_JOB = (
    "id", "state", "retry_of", "shares", "error_code", "error_message", "parameters", "request_id", "cost", "metrics",
    "missing", *TIMES,
)  # fmt: skip
_OF_RUN = ("request_id", "metrics", "submitted_at", "completed_at")
"""What is known of the run that several jobs share, and is on its own row."""

_INPUT = ("name", "media_type", "bytes", "sha256", "url")
_SUBMISSION = ("verdict", "http_status", "request_id", "intended_at", "answered_at")
_OUTPUT = ("name", "media_type", "bytes", "sha256", "role", "geometry")


def read(connection: Connection, job_id: str) -> Particulars | None:
    """Read what a job's receipt is made of, if there is such a job."""

    def all_of(query: Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(query).mappings()]

    found = all_of(select(*(jobs.c[name] for name in _JOB)).where(jobs.c.id == job_id))
    if not found:
        return None
    run_id = found[0]["shares"] or job_id
    [of_run] = all_of(select(*(jobs.c[name] for name in _OF_RUN)).where(jobs.c.id == run_id))
    return Particulars({**found[0], **of_run}, *map(all_of, _of_job(job_id, run_id)))


def _of_job(job_id: str, run_id: str) -> list[Select[Any]]:
    """Return what finds its run's inputs and submissions, its outputs and states, each in an order that stays."""
    told = events.c.payload["state"].astext.label("state"), events.c.occurred_at.label("at")
    is_told = events.c.type.in_(set(CURRENT_EVENT.values())), events.c.duplicate_of.is_(None)
    tables = (
        (inputs, _INPUT, run_id, (inputs.c.name,)),
        (submissions, _SUBMISSION, run_id, (submissions.c.intended_at, submissions.c.token)),
        (outputs, _OUTPUT, job_id, (outputs.c.id,)),
    )
    return [
        *(select(*(table.c[name] for name in names)).where(table.c.job_id == owner).order_by(*order)
          for table, names, owner, order in tables),
        select(*told).where(events.c.job_id == job_id, *is_told).order_by(events.c.position),
    ]  # fmt: skip
