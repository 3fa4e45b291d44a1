"""What a step learnt is committed in one statement as it is part by part, also where the reply is lost."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.clock import Clock
from tests.support.in_process import advance, wait_until_due
from tests.support.kept import keeping
from tests.support.requests import rows
from tests.support.unanswered import new_job, submit_job, taken_job
from worker.app import App
from worker.database import at_once
from worker.rules.geometry import Geometry
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, JobState, Step, Trigger
from worker.rules.outcome import Advance, Fail, Learnt, Outcome
from worker.rules.output_files import StoredFile
from worker.upkeep.scheduler import Scheduler
from worker.work.executor import execute, record
from worker.work.taking import load

WRITE = at_once.write
FILES = [
    StoredFile(f"{name}.glb", "model/gltf-binary", 3, "f" * 64, f"database:{role}/{name}", geometry)
    for name, role, geometry in (
        ("model", "output", Geometry(triangles=1, bounds=((0.5, -1e-07, 1e22), (1.0, 2.0, 3e22)))),
        ("another", "evidence", None),
    )
]
OVER = Learnt(
    metrics={"queue_time": 0.1, "total_time": 1.5, "cost": 0.06},
    cost=0.06,
    remote_status="COMPLETED",
    kept={"at": "model.glb"},
    result={"said_by": "result"},
)
MISSING = [{"name": "file.ply", "reason": "It is gone."}]


def _answer(run: str) -> Outcome:
    learnt = Learnt(request_id=run, remote_status="QUEUED", tells_of_account=True)
    return Advance(Trigger.ANSWERED, timedelta(seconds=25), learnt, http_status=200)


ENDS: dict[str, Outcome] = {
    "stored": Advance(Trigger.STORED, learnt=OVER | Learnt(missing=[], tells_of_account=True), files=FILES[:1]),
    "stored, but for a file": Advance(Trigger.STORED, learnt=OVER | Learnt(missing=MISSING), files=FILES),
    "failed with evidence": Fail(Trigger.ENDED, "output_invalid", "It is broken.", OVER, files=FILES[1:]),
    "failed": Fail(Trigger.ENDED, "remote_failed", "The run failed.", Learnt(metrics={"cost": 0.0}, polls=2)),
}


def _submitting(app: App) -> Job:
    return taken_job(app, new_job(app, "a prompt"))


def _fetching(app: App) -> Job:
    fetch = submit_job(app, new_job(app, "a prompt"))
    assert fetch
    while fetch.step is not Step.FETCH:
        wait_until_due(app, fetch)
        fetch = advance(app, fetch)
    wait_until_due(app, fetch)
    rows(app, "UPDATE jobs SET vendor_submitted_at = NULL RETURNING 1")  # The vendor's clock does not stand still.
    taken = load(app.services, Step.FETCH, fetch.ticket)
    assert taken
    return taken


def _written(app: App, job: Job, run: str) -> str:
    """Return all that there is of a job, without what names it and its rows."""
    its = {
        table: rows(app, f"SELECT * FROM {table} WHERE {key} = :id ORDER BY {order}", id=UUID(job.id))
        for table, key, order in (
            ("jobs", "id", "id"),
            ("submissions", "job_id", "token"),
            ("outputs", "job_id", "id"),
            ("events", "job_id", "position"),
        )
    }
    for row in [*its["events"], *its["outputs"]]:
        row.pop("position", None)
        row.pop("id")
    text = json.dumps(its, default=str, indent=1)
    tokens = [str(row["token"]) for row in its["submissions"]]
    for each in (job.id, run, run.replace("-", ""), *tokens):
        text = text.replace(each, "x")
    return text


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("outcome", [None, *ENDS.values()], ids=["answered", *ENDS])
def test_one_statement_writes_what_its_parts_do(
    app: App, outcome: Outcome | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each column, each row and each event, and what is logged; the run that a job has of its own aside."""

    def done(write: Callable[..., Any]) -> tuple[str, object, str]:
        job = _fetching(app) if outcome else _submitting(app)
        rows(app, "UPDATE jobs SET correlation_id = 'theirs' RETURNING 1")
        monkeypatch.setattr(at_once, "write", write)
        run = job.request_id or str(uuid4())
        capsys.readouterr()
        recorded = record(app.services, job, outcome or _answer(run))
        [event] = recorded.events
        told = (
            json.dumps({**event.payload, "type": event.type, "as": event.correlation_id})
            .replace(job.id, "x")
            .replace(run, "x")
        )
        logged = capsys.readouterr().out.replace(job.id, "x").replace(run, "x").split("]", 1)[1]
        return _written(app, job, run), (recorded.version, recorded.change.state, told), logged

    written: list[object] = []

    def kept(*given: Any) -> object:
        written.append(WRITE(*given))
        return written[-1]

    whole = done(kept)
    assert None not in written
    assert len(written) == 1
    monkeypatch.undo()
    assert whole == done(lambda *_: None)


class Loss:
    """Loses the reply to the next statement that writes a whole change, and keeps what the database had then."""

    def __init__(self, app: App) -> None:
        self.seen = ""
        self._app = app

    def write(self, *given: Any) -> object:
        """Write, and lose the reply once."""
        written = WRITE(*given)
        if self.seen:
            return written
        assert written
        self.seen = _all(self._app)
        raise OperationalError("the reply is lost", None, Exception())


@pytest.fixture
def lose(app: App, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Loss]:
    """Return what has the next reply lost."""
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def begin() -> Loss:
        loss = Loss(app)
        monkeypatch.setattr(at_once, "write", loss.write)
        return loss

    return begin


def _all(app: App) -> str:
    tables = ("jobs", "submissions", "outputs", "events")
    return json.dumps({each: rows(app, f"SELECT * FROM {each} ORDER BY 1") for each in tables}, default=str)


@pytest.mark.usefixtures("clock")
def test_an_answer_whose_reply_is_lost_is_found(app: App, lose: Callable[[], Loss]) -> None:
    """The second try finds its own first: nothing is written anew, and the job goes on as if its worker had died."""
    job, loss = _submitting(app), lose()
    recorded = record(app.services, job, _answer(str(uuid4())))
    assert (recorded.version, recorded.events) == (None, ())
    assert loss.seen == _all(app)
    [row] = rows(app, "SELECT state, version FROM jobs")
    assert row == {"state": JobState.PROCESSING, "version": job.version + 1}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("outcome", ENDS.values(), ids=list(ENDS))
def test_an_end_whose_reply_is_lost_is_found(app: App, lose: Callable[[], Loss], outcome: Outcome) -> None:
    """Neither a file nor an event is there twice."""
    job, loss = _fetching(app), lose()
    recorded = record(app.services, job, outcome)
    assert (recorded.version, recorded.events) == (None, ())
    assert loss.seen == _all(app)
    assert len(rows(app, "SELECT 1 FROM events WHERE type ~ 'succeeded|failed'")) == 1


def test_a_job_whose_replies_are_lost_gets_its_model(app: App, clock: Clock, lose: Callable[[], Loss]) -> None:
    """The sweep sends what its worker did not: one run, one end, each event once."""
    job, loss = new_job(app), lose()
    assert submit_job(app, job) is None
    assert loss.seen
    sent: list[FollowUp] = []
    clock.advance(timedelta(minutes=10))
    Scheduler(keeping(app.services, sent.append), dict).duties.sweep()
    [poll] = sent
    loss = lose()
    assert execute(app.services, poll.step, poll.ticket) is None
    assert loss.seen
    assert rows(app, "SELECT state FROM jobs") == [{"state": JobState.SUCCEEDED}]
    told = rows(app, "SELECT type, published_at IS NULL AS is_left FROM events ORDER BY position")
    assert [(each["type"].rpartition(".")[2], each["is_left"]) for each in told] == [
        ("accepted", False), ("submitted", True), ("succeeded", True),
    ]  # fmt: skip
    assert rows(app, "SELECT count(*) FROM outputs") == [{"count": 1}]
