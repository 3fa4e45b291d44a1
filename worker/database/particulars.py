"""What a receipt is made of: the rows of a job, all of one moment where they are read in one transaction."""

from typing import Any

from sqlalchemy import Connection, Select, select

from worker.database.records import events, inputs, outputs, submissions
from worker.database.tables import jobs
from worker.rules.lifecycle import CURRENT_EVENT
from worker.rules.receipt import TIMES, Particulars

_JOB = (
    "id", "state", "retry_of", "error_code", "error_message", "parameters", "request_id", "cost", "metrics", "missing",
    *TIMES,
)  # fmt: skip
_INPUT = ("name", "media_type", "bytes", "sha256", "url")
_SUBMISSION = ("verdict", "http_status", "request_id", "intended_at", "answered_at")
_OUTPUT = ("name", "media_type", "bytes", "sha256", "role", "geometry")


def read(connection: Connection, job_id: str) -> Particulars | None:
    """Read what a job's receipt is made of, if there is such a job."""

    def all_of(query: Select[Any]) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(query).mappings()]

    found = all_of(select(*(jobs.c[name] for name in _JOB)).where(jobs.c.id == job_id))
    return Particulars(found[0], *map(all_of, _of_job(job_id))) if found else None


def _of_job(job_id: str) -> list[Select[Any]]:
    """Return what finds its inputs, submissions, outputs and states, each in an order that stays."""
    told = events.c.payload["state"].astext.label("state"), events.c.occurred_at.label("at")
    is_told = events.c.type.in_(set(CURRENT_EVENT.values())), events.c.duplicate_of.is_(None)
    tables = (
        (inputs, _INPUT, (inputs.c.name,)),
        (submissions, _SUBMISSION, (submissions.c.intended_at, submissions.c.token)),
        (outputs, _OUTPUT, (outputs.c.id,)),
    )
    return [
        *(select(*(table.c[name] for name in names)).where(table.c.job_id == job_id).order_by(*order)
          for table, names, order in tables),
        select(*told).where(events.c.job_id == job_id, *is_told).order_by(events.c.position),
    ]  # fmt: skip
