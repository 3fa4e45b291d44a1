"""What is deleted and when: photos as soon as no job needs them, jobs and all that is theirs at the retention's age."""

from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.budgeted import Budgeted, drive, photo
from tests.support.budgeted import send as send_request
from tests.support.clock import Clock
from tests.support.requests import end, job_ids, request, rows, send
from worker.app import App
from worker.database import files, retention
from worker.database.engine import Connection, transaction
from worker.database.records import inputs
from worker.database.retention import Old
from worker.intake.accept import accept
from worker.intake.request import derived_job_id
from worker.outputs.stores import Role
from worker.rules.output_files import FetchedFile
from worker.upkeep.prune import FEW, Class, delete_old, prune
from worker.work.retrying import retry

DAY = timedelta(days=1)


@pytest.fixture
def keeping(budgeted: Budgeted) -> App:
    """Provide an app that keeps jobs for a day."""
    return budgeted(None, SAM3D_RETENTION=DAY)


def kept(app: App) -> dict[str, bool]:
    """Return of which jobs the photo is there."""
    return {str(row["job_id"]): row["kept"] for row in rows(app, "SELECT job_id, content IS NOT NULL kept FROM inputs")}


def prune_now(app: App) -> None:
    """Prune, as the scheduler does at every tick."""
    prune(app.services, lambda: None)


def test_a_photo_goes_when_its_job_needs_it_no_more(app: App) -> None:
    """At once after success and cancel; of a job that may be submitted, or retried, it stays."""
    ids = {state: send(app) for state in ("succeeded", "cancelled", "failed", "review", "accepted")}
    for state, job_id in ids.items():
        end(app, state, job_id)
    prune_now(app)
    found = kept(app)
    assert {state for state, job_id in ids.items() if found[job_id]} == {"failed", "review", "accepted"}
    facts = rows(app, "SELECT DISTINCT bytes, media_type, length(sha256) AS digits FROM inputs")
    assert facts == [{"bytes": len(photo()), "media_type": "image/png", "digits": 64}]


def test_a_job_that_went_its_way_leaves_no_photo(app: App, clock: Clock) -> None:
    """The whole way, from the message to the files."""
    drive(app, clock, send_request(app))
    prune_now(app)
    assert [row["state"] for row in rows(app, "SELECT state FROM jobs")] == ["succeeded"]
    assert list(kept(app).values()) == [False]


def test_the_photo_of_a_failed_job_is_kept_for_a_retry(app: App, clock: Clock) -> None:
    """For a day; then a retry says that it is to be sent again."""
    first = send(app)
    end(app, "failed", first)
    clock.advance(DAY - timedelta(minutes=1))
    prune_now(app)
    retry(app.services, first)
    clock.advance(timedelta(minutes=2))
    prune_now(app)
    assert kept(app)[first] is False
    assert kept(app)[job_ids(app)[1]] is True, "the retry has a copy of its own"


def test_a_setting_keeps_photos(budgeted: Budgeted) -> None:
    """Until the job is deleted."""
    app = budgeted(None, SAM3D_KEEP_INPUTS=True)
    end(app, "succeeded", send(app))
    prune_now(app)
    assert list(kept(app).values()) == [True]


def test_a_url_stays(app: App) -> None:
    """There are no bytes of ours to be deleted."""
    derived = derived_job_id("celery", "m-1")
    accept(app.services, {"image": "https://example.com/cup.jpg"}, derived)
    end(app, "succeeded", str(derived))
    prune_now(app)
    assert rows(app, "SELECT url FROM inputs") == [{"url": "https://example.com/cup.jpg"}]


def test_a_photo_that_is_being_copied_is_left_alone(app: App, clock: Clock) -> None:
    """A retry that has looked whether the photo is there finds it when it copies it."""
    end(app, "failed", send(app))
    clock.advance(2 * DAY)
    with transaction(app.services.engine) as copying:
        copying.execute(inputs.select().with_for_update())
        prune_now(app)
    assert list(kept(app).values()) == [True]


def test_a_transaction_deletes_a_little(app: App) -> None:
    """A photo is ten megabytes at most, and a backlog of them is not one statement."""
    for _ in range(FEW + 3):
        end(app, "succeeded", send(app))
    with transaction(app.services.engine) as connection:
        assert retention.forget_inputs(connection, retention.needless_inputs(DAY), FEW, DAY) == FEW
    prune_now(app)
    assert not any(kept(app).values())


@pytest.mark.parametrize("together", [1, 500])
def test_jobs_that_have_ended_are_looked_at_in_turn(
    app: App, clock: Clock, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that ended at the same moment, and that were committed among others a little later."""
    monkeypatch.setattr("worker.database.endings.PAGE", together)
    late = send(app)
    for _ in range(3):
        end(app, "succeeded", send(app))
    clock.advance(timedelta(seconds=30))
    end(app, "succeeded", send(app))
    prune_now(app)
    assert [job for job, is_kept in kept(app).items() if is_kept] == [late]
    end(app, "cancelled", late)
    assert rows(
        app, "UPDATE jobs SET finished_at = finished_at - interval '20 s' WHERE state = 'cancelled' RETURNING id"
    )
    prune_now(app)
    assert not any(kept(app).values())


def test_a_clock_that_was_ahead_leaves_no_photo(app: App, clock: Clock) -> None:
    """What ends after it was set back ends before what was looked at."""
    clock.advance(2 * DAY)
    end(app, "succeeded", send(app))
    prune_now(app)
    clock.advance(-DAY)
    end(app, "succeeded", send(app))
    prune_now(app)
    assert not any(kept(app).values())


def test_what_ended_long_ago_is_not_looked_at_again(app: App, clock: Clock) -> None:
    """However much there is of it; so a tick takes no longer as the years go by."""
    end(app, "succeeded", send(app))
    clock.advance(DAY)
    prune_now(app)
    assert rows(app, "UPDATE inputs SET content = 'x' RETURNING job_id")
    prune_now(app)
    assert list(kept(app).values()) == [True]


def test_years_of_photos_do_not_keep_the_scheduler(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade there are many at once: it stops in time, and the next tick goes on."""
    for _ in range(FEW + 1):
        end(app, "succeeded", send(app))
    monkeypatch.setattr("worker.upkeep.prune.LONGEST_SECONDS", 1e-9)
    prune_now(app)
    assert sum(kept(app).values()) >= 1
    monkeypatch.undo()
    prune_now(app)
    assert not any(kept(app).values())


def test_events_go_with_their_job(keeping: App, clock: Clock) -> None:
    """With the sender's metadata in them, those that a duplicate was told just now as well; a younger job's stay."""
    old, young = send(keeping, metadata={"name": "m4rk3r"}), send(keeping)
    for each in (old, young):
        end(keeping, "succeeded", each)
    clock.advance(DAY + timedelta(minutes=1))
    accept(keeping.services, {**request(metadata={"name": "m4rk3r"}), "job_id": old}, derived_job_id("celery", "late"))
    publish_all(keeping)
    rows(keeping, "UPDATE jobs SET finished_at = sam3d_now() WHERE id = :id RETURNING 1", id=UUID(young))
    prune_now(keeping)
    assert job_ids(keeping) == [young]
    assert {str(row["job_id"]) for row in rows(keeping, "SELECT job_id FROM events")} == {young}


def test_events_of_no_job_go_with_age(keeping: App, clock: Clock) -> None:
    """Of accounts, of refused messages, of a duplicate under another id; nothing of the sender stays."""
    for seconds in (0, 60):
        clock.advance(timedelta(seconds=seconds))
        first = send(keeping, idempotency_key=f"order-{seconds}")
        send(keeping, idempotency_key=f"order-{seconds}")
        accept(keeping.services, {**request(seed=9), "job_id": first}, derived_job_id("celery", str(seconds)))
        rows(keeping, "INSERT INTO events (id, type, payload) VALUES (:id, :type, '{}') RETURNING 1",
             id=uuid4(), type="sam3d.account.held")  # fmt: skip
    publish_all(keeping)
    orphans = "SELECT type FROM events WHERE job_id IS NULL OR job_id NOT IN (SELECT id FROM jobs)"
    assert len(rows(keeping, orphans)) == 4
    clock.advance(DAY - timedelta(seconds=30))
    prune_now(keeping)
    kinds = [row["type"].rpartition(".")[2] for row in rows(keeping, orphans)]
    assert sorted(kinds) == ["accepted", "held"], "the younger half"


def test_an_event_that_is_not_out_stays(keeping: App, clock: Clock) -> None:
    """At least once: a broker that is away for longer than the retention loses nobody's answer."""
    first = send(keeping)
    end(keeping, "succeeded", first)
    rows(keeping, "UPDATE events SET published_at = NULL RETURNING 1")
    clock.advance(2 * DAY)
    prune_now(keeping)
    assert (job_ids(keeping), len(rows(keeping, "SELECT id FROM events"))) == ([], 1)
    publish_all(keeping)
    prune_now(keeping)
    assert rows(keeping, "SELECT id FROM events") == []


def test_without_a_retention_events_stay(budgeted: Budgeted, clock: Clock) -> None:
    """They are the history of jobs that stay as well."""
    app = budgeted(None, SAM3D_RETENTION=None)
    end(app, "succeeded", send(app))
    clock.advance(365 * DAY)
    prune_now(app)
    assert len(rows(app, "SELECT id FROM events")) == len(job_ids(app)) == 1


def publish_all(app: App) -> None:
    """Let the broker have every event."""
    published: Any = rows(app, "UPDATE events SET published_at = sam3d_now() RETURNING 1")
    assert published


def stored(app: App, role: Role, job_state: str = "succeeded") -> str:
    """Return the job of a file that was stored two days ago."""
    job_id = send(app)
    content = uuid4().bytes
    fetched = FetchedFile("model.glb", "", len(content), sha256(content).hexdigest(), BytesIO(content))
    file = app.services.stores.put(fetched, role)
    with transaction(app.services.engine) as connection:
        files.add(connection, job_id, [file])
    rows(app, "UPDATE outputs SET stored_at = stored_at - interval '2 days' RETURNING id")
    end(app, job_state, job_id)
    return job_id


@pytest.mark.parametrize("role", [Role.OUTPUT, Role.EVIDENCE])
def test_each_class_of_files_has_its_age(budgeted: Budgeted, role: Role) -> None:
    """The row of its job stays, and the bytes go a day later than the last row that names them."""
    ages = {f"SAM3D_RETENTION_{each.upper()}": None for each in ("outputs", "evidence")}
    app = budgeted(None, **ages | {f"SAM3D_RETENTION_{'OUTPUTS' if role is Role.OUTPUT else 'EVIDENCE'}": DAY})
    ids = {each: stored(app, each) for each in (Role.OUTPUT, Role.EVIDENCE)}
    prune_now(app)
    assert [row["role"] for row in rows(app, "SELECT role FROM outputs")] == [each for each in ids if each is not role]
    assert set(job_ids(app)) == set(ids.values())
    assert len(rows(app, "SELECT location FROM blobs")) == 2
    rows(app, "UPDATE blobs SET loose_since = loose_since - interval '25 hours' RETURNING location")
    prune_now(app)
    assert len(rows(app, "SELECT location FROM blobs")) == 1
    assert len(rows(app, "SELECT DISTINCT location FROM blob_chunks")) == 1


def test_files_of_a_job_that_goes_on_stay(budgeted: Budgeted) -> None:
    """It has one already, and waits for another."""
    app = budgeted(None, SAM3D_RETENTION_OUTPUTS=DAY)
    stored(app, Role.OUTPUT, "review")
    prune_now(app)
    assert len(rows(app, "SELECT id FROM outputs")) == 1


def test_files_go_with_their_job(keeping: App) -> None:
    """Its bytes as well, once no other job has the same."""
    job_id = stored(keeping, Role.OUTPUT)
    rows(keeping, "UPDATE jobs SET finished_at = finished_at - interval '2 days' RETURNING id")
    prune_now(keeping)
    assert job_id not in job_ids(keeping)
    rows(keeping, "UPDATE blobs SET loose_since = loose_since - interval '25 hours' RETURNING location")
    prune_now(keeping)
    assert rows(keeping, "SELECT location FROM blobs") == []


@pytest.mark.parametrize("deleted", ["jobs", "outputs"])
def test_whoever_deletes_a_row_loosens_its_file(app: App, deleted: str) -> None:
    """A scheduler of the last release, or a person, knows nothing of where its bytes are."""
    job_id = stored(app, Role.OUTPUT)
    rows(app, "UPDATE blobs SET loose_since = loose_since - interval '2 days' RETURNING location")
    column = "id" if deleted == "jobs" else "job_id"
    rows(app, f"DELETE FROM {deleted} WHERE {column} = :id RETURNING id", id=UUID(job_id))
    assert rows(app, "SELECT loose_since > sam3d_now() - interval '1 day' AS is_young FROM blobs") == [
        {"is_young": True}
    ]


def test_fewer_are_tried_where_the_database_gives_up(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large files take long to delete: a batch of them must not be tried for ever."""
    tried: list[int] = []

    def delete(connection: Connection, old: Old, limit: int) -> int:
        tried.append(limit)
        connection.execute(text("SET LOCAL statement_timeout = 1"))
        connection.execute(text(f"SELECT pg_sleep({1 if limit > 1 else 0})"))
        return 0

    some = Class("files", "files_deleted", DAY, retention.old_jobs(DAY), delete)
    delete_old(app.services.engine, some, lambda: None)
    assert tried == [FEW, FEW // 4, 1]
