"""What an event's row leaves out of its payload, as rows of outputs have it: what was found in models."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from worker.database.records import outputs

Payload = Mapping[str, Any]
Shapes = Mapping[tuple[str, str | None], Any]
"""What was found in files, by name and SHA-256."""


def brief(payload: Payload) -> Payload:
    """Leave out what was found in models."""
    told = payload.get("outputs")
    return {**payload, "outputs": [{**each, "geometry": None} for each in told]} if told else payload


def shapes_of(payload: Payload) -> Shapes:
    """Return what was found in the models that a payload names."""
    return {(each["name"], each["sha256"]): each.get("geometry") for each in payload.get("outputs") or ()}


def whole(payload: Payload, shapes: Shapes) -> Payload:
    """Give a payload back what was left out; one of an earlier release has it, a deleted file has nothing."""
    told = payload.get("outputs")
    if not told:
        return payload
    files = [{**each, "geometry": each.get("geometry") or shapes.get((each["name"], each["sha256"]))} for each in told]
    return {**payload, "outputs": files}


def shapes_of_jobs(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, Shapes]:
    """Read what was found in the models of some jobs."""
    its = (outputs.c.job_id.in_(job_ids), outputs.c.geometry.is_not(None))
    query = select(outputs.c.job_id, outputs.c.name, outputs.c.sha256, outputs.c.geometry).where(*its)
    found: dict[str, dict[tuple[str, str | None], Any]] = {}
    for job_id, name, sha256, geometry in connection.execute(query) if job_ids else ():
        found.setdefault(job_id, {})[name, sha256] = geometry
    return found
