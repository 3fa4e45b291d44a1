"""What is written in one statement is written whole, or nothing of it is."""

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.requests import rows
from tests.support.unanswered import new_job, taken_job
from tests.support.waiting import wait_until
from worker.app import App
from worker.database import at_once, ownership
from worker.database.at_once import Whole, Written
from worker.database.engine import single, transaction
from worker.database.submissions import Answered
from worker.rules.geometry import Geometry
from worker.rules.job import Job
from worker.rules.lifecycle import EventType, FollowUp, JobState, Step, Trigger, Verdict
from worker.rules.outcome import Advance, Learnt, decide
from worker.rules.output_files import StoredFile
from worker.work.taking import load

RUN = "0ABCDEF0-0000-4000-8000-000000000001"
CANONICAL = RUN.replace("-", "").lower()
SECOND = timedelta(seconds=1)
FILES = [
    StoredFile(f"{name}.glb", "model/gltf-binary", 3, "f" * 64, f"database:output/{name}", Geometry(triangles=number))
    for number, name in enumerate(("model", "another", "z", "a"))
]
FILES[2] = replace(FILES[2], geometry=None)


@pytest.fixture
def job(app: App) -> Job:
    """Provide a job that is being submitted."""
    return taken_job(app, new_job(app))


@pytest.fixture
def fetched(app: App, completed_job: FollowUp) -> Job:
    """Provide a job that is being fetched."""
    taken = load(app.services, Step.FETCH, completed_job.ticket)
    assert taken
    return taken


def _answer(job: Job, run: str = RUN) -> Whole:
    told = Advance(Trigger.ANSWERED, SECOND, Learnt(request_id=run, tells_of_account=True), http_status=200)
    answer = Answered(Verdict.ACCEPTED, run, 200)
    return Whole(job, decide(job.state, 0, told), SECOND, EventType.SUBMITTED, {"a": 1}, answer)


def _end(job: Job) -> Whole:
    stored = Advance(Trigger.STORED, learnt=Learnt(tells_of_account=True), files=FILES)
    return Whole(job, decide(job.state, 0, stored), SECOND, EventType.SUCCEEDED, {"a": 1})


def _write(app: App, what: Whole) -> Written | None:
    with single(app.services.engine) as connection:
        return at_once.write(connection, what)


def _database(app: App) -> Mapping[str, Any]:
    tables = ("jobs", "submissions", "outputs", "events", "accounts")
    return {table: rows(app, f"SELECT * FROM {table} ORDER BY 1") for table in tables}


def _assert_nothing_is_written(app: App, what: Whole) -> None:
    before = _database(app)
    assert _write(app, what) is None
    assert _database(app) == before


def test_an_answer_is_written_with_its_event(app: App, job: Job) -> None:
    """The job has the run, its submit the answer, and the event is what was announced."""
    written = _write(app, _answer(job))
    assert written
    [row] = rows(app, "SELECT state, version, request_id, submitted_at, lease_until FROM jobs")
    assert (row["state"], row["version"], row["request_id"], row["lease_until"]) == ("processing", 3, RUN, None)
    [post] = rows(app, "SELECT verdict, request_id, run, told, http_status, answered_at FROM submissions")
    assert tuple(post.values()) == ("accepted", RUN, CANONICAL, CANONICAL, 200, row["submitted_at"])
    [event] = rows(app, f"SELECT * FROM events WHERE type = '{EventType.SUBMITTED}'")
    told = written.event
    assert (str(event["id"]), str(event["job_id"]), event["payload"]) == (told.id, told.job_id, told.payload)
    assert (event["occurred_at"], told.type) == (told.occurred_at, EventType.SUBMITTED)
    assert written.version == 3


def test_files_are_written_in_their_order(app: App, fetched: Job) -> None:
    """As many as there are, each with what is known of it."""
    assert _write(app, _end(fetched))
    made = rows(app, "SELECT name, media_type, bytes, sha256, location, role, geometry FROM outputs ORDER BY id")
    assert [each["name"] for each in made] == [each.name for each in FILES]
    assert made[1] == {
        "name": "another.glb", "media_type": "model/gltf-binary", "bytes": 3, "sha256": "f" * 64,
        "location": "database:output/another", "role": "output", "geometry": Geometry(triangles=1).to_json(),
    }  # fmt: skip
    assert rows(app, "SELECT name FROM outputs WHERE geometry IS NULL") == [{"name": "z.glb"}]


WRITTEN = {
    "another has it": ("verdict, request_id, run, told", f"'accepted', '{RUN}', '{CANONICAL}', '{CANONICAL}'"),
    "another has it since an early release": ("verdict, request_id", f"'accepted', '{RUN}'"),
    "another was told it": ("verdict, told", f"'unknown', '{CANONICAL}'"),
    "another has one and was told it": ("verdict, run, told", f"'adopted', 'x', '{CANONICAL}'"),
}


@pytest.mark.parametrize("why", list(WRITTEN))
def test_a_run_that_the_ledger_knows_is_no_answer(app: App, job: Job, accepted_job: FollowUp, why: str) -> None:
    """In whatever writing, and whoever has it now."""
    columns, values = WRITTEN[why]
    add = f"INSERT INTO submissions (token, job_id, worker, {columns}) VALUES (gen_random_uuid(), :id, 'x', {values})"
    rows(app, f"{add} RETURNING 1", id=accepted_job.ticket.job_id)
    _assert_nothing_is_written(app, _answer(job))
    assert _write(app, _answer(job, str(uuid4()))), "another run is one"


TROUBLE = (
    "held_at = sam3d_now(), held_cause = 'key'",
    "unknown_submits = 1",
    "closed_until = sam3d_now() + interval '1 min'",
)
UNANSWERABLE = {
    "somebody wrote": "UPDATE jobs SET version = version + 1",
    "its intent is lost": "DELETE FROM submissions",
    "it has an answer": "UPDATE submissions SET verdict = 'unknown'",
    "its submit is another job's": "UPDATE submissions SET job_id = (SELECT id FROM jobs WHERE state = 'accepted')",
    **{f"an account with {each}": f"UPDATE accounts SET {each}" for each in TROUBLE},
}


@pytest.mark.parametrize("why", list(UNANSWERABLE))
def test_an_answer_that_may_concern_others_is_not_written(app: App, job: Job, accepted_job: FollowUp, why: str) -> None:
    """Nothing of it: neither its job nor the ledger, nor is anything announced."""
    rows(app, f"{UNANSWERABLE[why]} RETURNING 1")
    _assert_nothing_is_written(app, _answer(job))


UNENDING = {
    "somebody wrote": "UPDATE jobs SET version = version + 1",
    "it has a file": "INSERT INTO outputs (job_id, name, media_type, bytes, sha256) SELECT id, '', '', 1, '' FROM jobs",
    **{f"an account with {each}": f"UPDATE accounts SET {each}" for each in TROUBLE},
}


@pytest.mark.parametrize("why", list(UNENDING))
def test_an_end_that_may_concern_others_is_not_written(app: App, fetched: Job, why: str) -> None:
    """Nothing of it: neither its job nor a file, nor is anything announced."""
    rows(app, f"{UNENDING[why]} RETURNING 1")
    _assert_nothing_is_written(app, _end(fetched))


@pytest.mark.parametrize("trouble", TROUBLE)
def test_what_tells_nothing_of_the_account_is_written(app: App, fetched: Job, trouble: str) -> None:
    """Whatever its account is in: a fetch that asked the vendor nothing ends its job."""
    rows(app, f"UPDATE accounts SET {trouble} RETURNING 1")
    end = _end(fetched)
    assert _write(app, replace(end, change=replace(end.change, learnt=Learnt())))


def test_two_files_of_one_name_are_not_written(app: App, fetched: Job) -> None:
    """What the database refuses is undone whole."""
    end = _end(fetched)
    twice = replace(end, change=replace(end.change, files=[FILES[0], FILES[0]]))
    _assert_nothing_is_written(app, twice)


def test_the_state_that_is_gone_on_from_need_not_be_in_the_row(app: App, fetched: Job) -> None:
    """The fence is the version alone: whoever goes on with a job without a commit ends it from what the row says."""
    rows(app, "UPDATE jobs SET state = 'processing' RETURNING 1")
    assert _write(app, _end(fetched))
    assert rows(app, "SELECT state FROM jobs") == [{"state": JobState.SUCCEEDED}]


def test_a_run_that_is_being_given_back_is_no_answer(app: App, job: Job) -> None:
    """Who has it just now gives it back while the answer is written: that waits for it, and sees it then."""
    other = taken_job(app, new_job(app, "other"))
    done: list[Written | None] = []
    waiting = threading.Thread(target=lambda: done.append(_write(app, _answer(job))))
    before = _database(app)
    with transaction(app.services.engine) as connection:
        assert ownership.claim(connection, other.token, Answered(Verdict.ACCEPTED, RUN, 200))
        waiting.start()
        held = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH job AS%'"
        wait_until(lambda: rows(app, held), "the answer waits")
        ownership.give_back(connection, CANONICAL, "x")
    waiting.join(20)
    assert done == [None]
    after = _database(app)
    assert {name: after[name] == before[name] for name in ("jobs", "events")} == {"jobs": True, "events": True}
    told = rows(app, "SELECT token, run, told FROM submissions WHERE told IS NOT NULL")
    assert json.dumps(told, default=str) == json.dumps([{"token": other.token, "run": None, "told": CANONICAL}])


def test_of_two_answers_at_once_one_is_written(app: App) -> None:
    """Two workers are told one run at the same instant, each in its own writing."""
    jobs = [taken_job(app, new_job(app, f"{number}")) for number in range(2)]
    start = threading.Barrier(2)
    done: list[Written | None] = []

    def write(job: Job, run: str) -> None:
        start.wait(10)
        done.append(_write(app, _answer(job, run)))

    threads = [threading.Thread(target=write, args=each) for each in zip(jobs, (RUN, CANONICAL), strict=True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert sorted(each is None for each in done) == [False, True]
    assert len(rows(app, "SELECT 1 FROM submissions WHERE run IS NOT NULL")) == 1
    assert len(rows(app, "SELECT 1 FROM jobs WHERE request_id IS NOT NULL")) == 1


def test_an_answer_waits_for_who_has_its_job(app: App, job: Job) -> None:
    """Somebody writes the job meanwhile and commits: the answer finds another version then."""
    done: list[Written | None] = []
    waiting = threading.Thread(target=lambda: done.append(_write(app, _answer(job))))
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET version = version + 1"))
        waiting.start()
        held = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH job AS%'"
        wait_until(lambda: rows(app, held), "the answer waits")
    waiting.join(20)
    assert done == [None]
    assert rows(app, "SELECT verdict FROM submissions") == [{"verdict": None}]
