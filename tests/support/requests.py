"""Requests that come in by themselves, again and at once, and the jobs they became."""

import threading
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from tests.support.budgeted import photo
from worker.app import App
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id


def rows(app: App, query: str, **values: Any) -> Sequence[dict[str, Any]]:
    """Ask the database."""
    with transaction(app.services.engine) as connection:
        return [dict(row) for row in connection.execute(text(query), values).mappings()]


def job_ids(app: App) -> list[str]:
    """Return the jobs there are, the oldest first."""
    return [str(row["id"]) for row in rows(app, "SELECT id FROM jobs ORDER BY accepted_at")]


def request(**fields: Any) -> dict[str, Any]:
    """Return a request that names no job."""
    return {name: each for name, each in prepare_request(photo(), **fields).items() if name != "job_id"}


def send(app: App, message: str | None = None, **fields: Any) -> str:
    """Let a task message come; return the id of the job that it asks for."""
    derived = derived_job_id("celery", message or uuid4().hex)
    accept(app.services, request(**fields), derived)
    return str(derived)


def end(app: App, state: str, job_id: str) -> None:
    """Bring a job to an end, or before a person."""
    change = "UPDATE jobs SET state = :state, error_code = 'x', finished_at = sam3d_now() WHERE id = :id RETURNING id"
    assert rows(app, change, state=state, id=UUID(job_id))


def at_once(count: int, action: Callable[[], object]) -> None:
    """Do something on several threads that begin together."""
    gate = threading.Barrier(count)
    failed: list[BaseException] = []

    def run() -> None:
        gate.wait()
        try:
            action()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [], failed
