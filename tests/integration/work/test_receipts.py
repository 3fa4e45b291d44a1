"""The receipt of a job that is over: kept beside its model where a key is set, made once, told with its event."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kombu import Connection
from pydantic import SecretStr
from sqlalchemy import event as events_of
from structlog.testing import capture_logs

from tests.support import sharing
from tests.support.clock import Clock
from tests.support.in_process import PHOTO, advance, row_of, settings_of, wait_until_due
from tests.support.listener import Listener
from tests.support.receipt_keys import make_key
from tests.support.requests import at_once, rows
from tests.support.waiting import wait_until
from worker.app import App, create_app
from worker.broker.topology import declare
from worker.database import blobs, outbox, particulars, retention
from worker.database.engine import transaction
from worker.database.outbox import Event
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.outputs.sealing import public_key_of, why_not_genuine
from worker.rules.lifecycle import EventType, FollowUp
from worker.rules.receipt import NAME, read
from worker.simulator import Simulator
from worker.upkeep.prune import prune
from worker.work.collecting import BROKEN_FILES
from worker.work.executor import execute

KEY = make_key()
PROMPT = "a red cup, m4rk3r"
Make = Callable[..., App]


@pytest.fixture
def make(migrated_url: str, vhost_url: str, simulator: Simulator) -> Iterator[Make]:
    """Return what makes a service that signs receipts, unless it is told otherwise; all on one database."""
    made: list[App] = []
    with Connection(vhost_url) as connection:
        declare(connection)

    def build(**more: object) -> App:
        links = {"SAM3D_PUBLIC_URL": "https://files.example", "SAM3D_LINK_KEY": SecretStr("k" * 32)}
        settings = {"SAM3D_RECEIPT_KEY": SecretStr(KEY), **links, **more}
        made.append(create_app(settings_of(vhost_url, migrated_url, simulator).having(**settings)))
        return made[-1]

    yield build
    for each in made:
        each.close()


@pytest.fixture(params=["database", "folder"])
def app(request: pytest.FixtureRequest, make: Make, tmp_path: Path) -> App:
    """Provide a service that signs receipts, with each kind of store that is at hand."""
    return make(SAM3D_STORE_URL=f"file://{tmp_path}/models" if request.param == "folder" else None)


@pytest.fixture
def listener(vhost_url: str, make: Make) -> Iterator[Listener]:
    """Provide whoever hears the events."""
    with Connection(vhost_url) as connection:
        yield Listener(connection)


def fetched(app: App, **fields: Any) -> FollowUp:
    """Return a job whose run is over, about to be fetched."""
    request = prepare_request(PHOTO, prompt=PROMPT, seed=7, **fields)
    accepted = accept(app.services, request, derived_job_id("test", uuid4().hex))
    assert accepted
    return advance(app, advance(app, accepted))


def end(app: App, job: FollowUp) -> str:
    """Do a job's last step, and return its id."""
    wait_until_due(app, job)
    assert execute(app.services, job.step, job.ticket) is None
    return job.ticket.job_id


def last_event(app: App, job_id: str, kind: EventType = EventType.SUCCEEDED) -> Event:
    """Return the event that told of a job's end."""
    with transaction(app.services.engine) as connection:
        found = outbox.newest(connection, job_id, kind)
    assert found
    return found


def kept(app: App) -> Sequence[dict[str, Any]]:
    """Return the rows of receipts."""
    return rows(app, f"SELECT id, name, media_type, bytes, sha256, location, role FROM outputs WHERE name = '{NAME}'")


def told(listener: Listener, job_id: str, times: int, kind: EventType = EventType.SUCCEEDED) -> dict[str, Any]:
    """Return what an event said when it was heard so often."""

    def heard() -> list[dict[str, Any]]:
        listener._drain()
        return [each["data"] for each in listener.events if (each["subject"], each["type"]) == (job_id, kind)]

    wait_until(lambda: len(heard()) >= times, f"{kind} was heard {times} times")
    return heard()[times - 1]


def content_of(app: App, row: dict[str, Any]) -> bytes:
    """Read a file out of its store."""
    return b"".join(app.services.stores.read(row))


def test_a_receipt_is_kept_beside_the_model(app: App, listener: Listener) -> None:
    """Signed; it says what the rows say, and its event says where it is."""
    job_id = end(app, fetched(app))
    [row] = kept(app)
    content = content_of(app, row)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (row["bytes"], row["sha256"])
    assert (row["media_type"], row["role"], "/output/" in row["location"].replace(":", "/")) == (
        "application/json", "output", True,
    )  # fmt: skip
    receipt = read(content)
    assert why_not_genuine(receipt, public_key_of(KEY.encode())) is None
    [model] = rows(app, "SELECT name, media_type, bytes, sha256, role, geometry FROM outputs WHERE name = 'model.glb'")
    assert receipt["outputs"] == [model]
    assert (receipt["job"]["id"], receipt["job"]["state"], receipt["cost"]["amount"]) == (job_id, "succeeded", 0.06)
    assert receipt["inputs"][0]["sha256"] == hashlib.sha256(PHOTO.read_bytes()).hexdigest()
    assert receipt["parameters"] == {"seed": 7, "prompt_sha256": hashlib.sha256(PROMPT.encode()).hexdigest()}
    [submission] = receipt["submissions"]
    assert (submission["verdict"], submission["cost"]) == ("accepted", 0.06)
    assert [each["state"] for each in receipt["states"]] == ["accepted", "processing", "succeeded"]
    assert receipt["times"]["finished_at"] >= receipt["times"]["accepted_at"]
    assert b"m4rk3r" not in content
    heard = listener.wait_for(job_id, EventType.SUCCEEDED)
    assert [each["name"] for each in heard["outputs"]] == ["model.glb"]
    said = heard["receipt"]
    assert {name: said[name] for name in ("name", "media_type", "bytes", "sha256")} == {
        name: row[name] for name in ("name", "media_type", "bytes", "sha256")
    }
    assert said["url"].startswith(f"https://files.example/files/{row['sha256']}/receipt.json?output={row['id']}&")
    assert said["expires_at"] == heard["outputs"][0]["expires_at"]


def test_it_is_made_once(app: App, listener: Listener) -> None:
    """Whoever was killed before its row, or before its event was out, is followed by one who makes the same."""
    job_id = end(app, fetched(app))
    [first] = kept(app)
    for times, lost in enumerate((f"DELETE FROM outputs WHERE name = '{NAME}' RETURNING id", "SELECT 1"), 2):
        rows(app, lost)
        app.services.post.announce([last_event(app, job_id)])
        [again] = kept(app)
        assert (again["sha256"], again["location"]) == (first["sha256"], first["location"])
        assert told(listener, job_id, times)["receipt"]["sha256"] == first["sha256"]
    assert rows(app, "SELECT count(*) FROM blobs WHERE location = :it", it=first["location"]) == [{"count": 1}]
    with transaction(app.services.engine) as connection:
        assert retention.count(connection, blobs.loose(timedelta(0))) == 0


def test_two_who_announce_at_once_make_one(app: App) -> None:
    """A worker and the scheduler's relay, of two versions of the service."""
    job_id = end(app, fetched(app))
    rows(app, f"DELETE FROM outputs WHERE name = '{NAME}' RETURNING id")
    event = last_event(app, job_id)
    sent: list[int] = []
    at_once(4, lambda: sent.append(app.services.post.announce([event])))
    assert (len(kept(app)), sent) == (1, [1] * 4)


def test_what_was_told_again_or_refused_is_no_state(make: Make) -> None:
    """The same request once more, and another under its name, are of the same job, and no step of it."""
    app = make()
    job = fetched(app, metadata={"order": 7})
    job_id = job.ticket.job_id
    for number, order in enumerate((7, 8)):
        again = prepare_request(PHOTO, prompt=PROMPT, seed=7, metadata={"order": order}, job_id=job_id)
        accept(app.services, again, derived_job_id("test", f"again {number}"))
    assert {row["type"].rpartition(".")[2] for row in rows(app, "SELECT type FROM events")} >= {"refused", "submitted"}
    assert len(rows(app, "SELECT id FROM events WHERE duplicate_of IS NOT NULL")) == 1
    end(app, job)
    receipt = read(content_of(app, kept(app)[0]))
    assert [each["state"] for each in receipt["states"]] == ["accepted", "processing", "succeeded"]


@contextmanager
def counted(app: App) -> Iterator[list[str]]:
    """Note the transactions and the statements of a process."""
    noted: list[str] = []

    def begun(*_: object) -> None:
        noted.append("BEGIN")

    def executed(_: object, __: object, statement: str, *___: object) -> None:
        noted.append(statement.split(maxsplit=1)[0])

    for name, note in (("begin", begun), ("before_cursor_execute", executed)):
        events_of.listen(app.services.engine, name, note)
    yield noted
    for name, note in (("begin", begun), ("before_cursor_execute", executed)):
        events_of.remove(app.services.engine, name, note)


def test_without_a_key_nothing_is_asked_and_nothing_is_written(make: Make, listener: Listener) -> None:
    """One transaction marks the event, as ever; the event has no word of a receipt."""
    plain = make(SAM3D_RECEIPT_KEY=None, SAM3D_PUBLIC_URL=None, SAM3D_LINK_KEY=None)
    job_id = end(plain, fetched(plain))
    event = last_event(plain, job_id)
    with counted(plain) as noted:
        plain.services.post.announce([event])
    assert noted == ["BEGIN", "UPDATE"]
    assert "receipt" not in told(listener, job_id, 2)
    assert kept(plain) == []


def test_with_a_key_three_transactions_are_added_once(make: Make) -> None:
    """One reads, as where there are links; one stores the file, one its row. Told again, only the first."""
    app = make(SAM3D_PUBLIC_URL=None, SAM3D_LINK_KEY=None)
    job_id = end(app, fetched(app))
    rows(app, f"DELETE FROM outputs WHERE name = '{NAME}' RETURNING id")
    event = last_event(app, job_id)
    for transactions in (4, 2):
        with counted(app) as noted:
            app.services.post.announce([event])
        assert noted.count("BEGIN") == transactions


def test_a_store_that_is_away_holds_no_event_up(
    make: Make, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes out without, the store is asked once a minute; once it is told again there is a receipt."""
    plain, there = make(SAM3D_RECEIPT_KEY=None), make()
    job_id = end(plain, fetched(plain))
    for name, value in {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x",
                        "AWS_ACCESS_KEY_ID": "m4rk3r", "AWS_SECRET_ACCESS_KEY": "m4rk3r"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    away = make(SAM3D_STORE_URL="s3://bucket/models")
    with capture_logs() as logged:
        assert [away.services.post.announce([last_event(plain, job_id)]) for _ in range(2)] == [1, 1]
    warned = [line for line in logged if line["event"] == "receipt_unstored"]
    assert len(warned) == 1
    assert "m4rk3r" not in str(warned)
    assert "receipt" not in told(listener, job_id, 3)
    there.services.post.tell(last_event(plain, job_id))
    assert told(listener, job_id, 4)["receipt"]["sha256"] == kept(there)[0]["sha256"]


def test_none_is_made_of_files_that_are_gone(make: Make, listener: Listener) -> None:
    """An event that is told again later makes no new receipt of what was deleted."""
    app = make()
    job_id = end(app, fetched(app, include_artifacts=True))
    rows(app, "DELETE FROM outputs WHERE name <> 'artifacts.zip' RETURNING id")
    app.services.post.announce([last_event(app, job_id)])
    assert "receipt" not in told(listener, job_id, 2)
    assert kept(app) == []


def test_it_goes_with_the_outputs(make: Make, clock_of: Callable[[App], Clock]) -> None:
    """At their age; its job stays longer."""
    app = make(SAM3D_RETENTION_OUTPUTS=timedelta(days=1))
    job_id = end(app, fetched(app))
    assert len(kept(app)) == 1
    clock_of(app).advance(timedelta(days=2))
    prune(app.services, lambda: None)
    assert rows(app, "SELECT id FROM outputs") == []
    assert row_of(app, job_id)["state"] == "succeeded"


@pytest.fixture
def clock_of() -> Callable[[App], Clock]:
    """Return what turns the clock of an app's database."""
    return lambda app: Clock(app.services.engine, stands_still=True)


def test_a_job_that_failed_with_files_has_one(make: Make, simulator: Simulator, listener: Listener) -> None:
    """It was paid, and what came of it is evidence."""
    app = make()
    job = fetched(app)
    rows(app, "UPDATE jobs SET broken_files = :tries RETURNING id", tries=BROKEN_FILES - 1)
    simulator.add_fault(call="download", kind="wrong_magic")
    job_id = end(app, job)
    receipt = read(content_of(app, kept(app)[0]))
    assert (receipt["job"]["state"], receipt["job"]["error"]["code"]) == ("failed", "output_invalid")
    assert [(each["name"], each["role"]) for each in receipt["outputs"]] == [("broken.glb", "evidence")]
    assert receipt["cost"]["amount"] == 0.06
    assert listener.wait_for(job_id, EventType.FAILED)["receipt"]["name"] == NAME


def test_a_job_without_files_has_none_beside_it(make: Make, simulator: Simulator, listener: Listener) -> None:
    """There is nothing that it could be beside; `sam3d receipt` makes it of the rows."""
    app = make()
    simulator.update(fail_share=1)
    accepted = accept(app.services, prepare_request(PHOTO), derived_job_id("test", uuid4().hex))
    assert accepted
    job_id = end(app, advance(app, accepted))
    assert kept(app) == []
    assert "receipt" not in listener.wait_for(job_id, EventType.FAILED)


def test_nothing_of_a_receipt_is_in_the_outbox(make: Make) -> None:
    """It is told when the event goes out; the rows know nothing of links."""
    app = make()
    end(app, fetched(app))
    assert "receipt" not in json.dumps(rows(app, "SELECT payload FROM events"))


def test_a_job_that_shares_a_run_says_what_the_run_took(make: Make) -> None:
    """The photo and the submit are on the run's row; what it cost is told in one receipt of them all."""
    app = make(SAM3D_SHARE_RUNS=True)
    sharers, submit = sharing.send_all(app, 2)
    sharing.drive(app, submit)
    receipts = []
    for job_id in sharers:
        with transaction(app.services.engine) as connection:
            found = particulars.read(connection, job_id)
        assert found
        receipts.append(json.loads(app.services.post.receipts.of(found)))
    assert [each["shared_run"] for each in receipts] == [submit.ticket.job_id] * 2
    assert [[every["verdict"] for every in each["submissions"]] for each in receipts] == [["accepted"]] * 2
    assert len({str(each["inputs"]) for each in receipts}) == 1
    assert [bool(each["cost"]["amount"]) for each in receipts] == [True, False]
    assert {each["outputs"][0]["sha256"] for each in receipts} == {
        row["sha256"] for row in rows(app, "SELECT sha256 FROM outputs WHERE name = 'model.glb'")
    }
