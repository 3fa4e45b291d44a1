"""Photos that are sent as addresses of our store: some hundred bytes, and another address for each submit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.support.addressed import app, bucket, objects_in, s3
from tests.support.budgeted import photo
from tests.support.in_process import PHOTO, advance, row_of
from tests.support.requests import rows
from tests.support.unanswered import finish_job, new_job, state_of, submit_job, taken_job, with_settings
from worker.app import App, create_app
from worker.database.engine import DatabaseError, transaction
from worker.database.records import submissions
from worker.errors import StoreUnavailable
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.outputs.stores import Stores
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp
from worker.rules.presigned import LIFETIME, NAMES, mark_of_address
from worker.simulator import Simulator
from worker.work.changes import follow_up
from worker.work.executor import execute
from worker.work.ledger import commit_answer
from worker.work.steps import submit

__all__ = ["app", "bucket", "s3"]

SMALL = 2000
"""Bytes of a body that has an address in the place of a photo."""


def posts(simulator: Simulator) -> list[int]:
    """Return how large the bodies of the submits were, bytes."""
    return [each["bytes"] for each in simulator.requests(with_log=True)["log"] if each["call"] == "submit"]


def run_whole(app: App, job: FollowUp) -> str:
    """Do all steps of a job, and return the digest of its model."""
    last = advance(app, advance(app, job))
    assert execute(app.services, last.step, last.ticket) is None
    assert state_of(app, job) == "succeeded"
    query = "SELECT sha256 FROM outputs WHERE name = 'model.glb' AND job_id = CAST(:id AS uuid)"
    return str(rows(app, query, id=job.ticket.job_id)[0]["sha256"])


def addresses(job: Job) -> list[str]:
    """Return the addresses that a job was taken with."""
    return [file.url for file in job.files if file.url]


def test_a_model_is_made_of_a_photo_that_was_sent_as_an_address(
    app: App, s3: Mapping[str, str], bucket: str, simulator: Simulator
) -> None:
    """What is sent is small, the vendor fetches the rest, and the model is that of the photo's bytes."""
    by_address = run_whole(app, new_job(app))
    inline = create_app(app.services.settings.having(SAM3D_INPUT_ADDRESSES="off"))
    assert run_whole(inline, new_job(inline)) == by_address
    inline.close()
    assert [size < SMALL for size in posts(simulator)] == [True, False]
    [(key, content)] = [each for each in objects_in(s3, bucket).items() if "/input/" in each[0]]
    assert content == PHOTO.read_bytes()
    [row] = rows(app, "SELECT sha256, bytes, content FROM inputs WHERE location IS NOT NULL")
    assert key.endswith(f"input/sha256/{row['sha256'][:2]}/{row['sha256']}.png")
    assert (row["bytes"], row["content"]) == (len(content), None)


def test_a_mask_is_sent_in_the_same_way(app: App) -> None:
    """A photo that its sender has elsewhere stays there, and the mask's address is the name then."""
    both = taken_job(app, new_job_of(app, image=PHOTO, mask=photo()))
    theirs = taken_job(app, new_job_of(app, image="https://example.com/cup.png", mask=photo()))
    assert len(set(addresses(both))) == 2
    assert addresses(theirs)[0] == "https://example.com/cup.png"
    assert names(app) == {mark_of_address(addresses(both)[0]), mark_of_address(addresses(theirs)[1])}


def new_job_of(app: App, **fields: Any) -> FollowUp:
    """Accept a job."""
    request = prepare_request(**fields)
    accepted = accept(app.services, request, derived_job_id("test", str(request["job_id"])))
    assert accepted
    return accepted


def names(app: App) -> set[str]:
    """Return the marks of the addresses that name submits."""
    return {row["address"] for row in rows(app, "SELECT address FROM submissions WHERE address IS NOT NULL")}


def test_each_submit_has_an_address_of_its_own(app: App) -> None:
    """Equal jobs of one second; each lives for a day and up to an hour, and is noted before anything is sent."""
    taken = [taken_job(app, new_job(app)) for _ in range(8)]
    urls = [url for job in taken for url in addresses(job)]
    assert len(set(urls)) == len(taken)
    assert names(app) == set(map(mark_of_address, urls))
    seconds = [int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0]) for url in urls]
    assert all(LIFETIME.total_seconds() <= each < LIFETIME.total_seconds() + NAMES for each in seconds)
    assert len({row["inputs_sha256"] for row in rows(app, "SELECT inputs_sha256 FROM submissions")}) == 1


def test_an_address_that_another_submit_has_is_made_anew(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell which of two runs of one address is whose: the database keeps each apart."""
    monkeypatch.setattr("worker.work.enclosing.lifetime", lambda _, number: LIFETIME + timedelta(seconds=number))
    taken = [taken_job(app, new_job(app)) for _ in range(3)]
    assert len({url for job in taken for url in addresses(job)}) == 3


def test_a_submit_that_is_sent_again_has_another_address(app: App, simulator: Simulator) -> None:
    """Nothing was started by the first, which is proven; both are of one job."""
    simulator.add_fault(call="submit", kind="status", http_status=429, count=1)
    job = new_job(app)
    again = submit_job(app, job)
    assert again
    rows(app, "UPDATE jobs SET due_at = sam3d_now() RETURNING 1")
    rows(app, "UPDATE accounts SET closed_until = NULL RETURNING 1")
    assert submit_job(app, again)
    assert len(names(app)) == 2
    assert state_of(app, job) == "processing"


# Bytes all the same.


def test_a_photo_in_the_store_is_sent_as_bytes_where_addresses_are_off(app: App, simulator: Simulator) -> None:
    """The setting was taken back while the job waited."""
    job = new_job(app)
    with_settings(app, SAM3D_INPUT_ADDRESSES="off")
    taken = taken_job(app, job)
    assert (addresses(taken), taken.is_inline, taken.weight) == ([], True, len(PHOTO.read_bytes()))
    [row] = rows(app, "SELECT is_inline, address, inputs ->> 'image' AS image FROM submissions")
    assert (row["is_inline"], row["address"], row["image"].partition(":")[0]) == (True, None, "long")
    commit_answer(app.services, taken, submit(app.services, taken))
    assert state_of(app, job) == "processing"
    assert posts(simulator)[0] > SMALL


def test_what_was_accepted_before_is_sent_as_its_bytes(app: App, simulator: Simulator) -> None:
    """By the last release, or while the store was away."""
    inline = create_app(app.services.settings.having(SAM3D_INPUT_ADDRESSES="off"))
    job = new_job(inline)
    inline.close()
    run_whole(app, job)
    assert posts(simulator)[0] > SMALL
    assert names(app) == set()


def test_a_store_that_is_away_is_not_waited_for(
    app: App, s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photo is in its row then, as without a store; for a minute the store is not asked again."""
    tried: list[str] = []

    def away(*_: object) -> None:
        tried.append("put")
        raise StoreUnavailable("The file was not stored: the object store says GenericError.")

    monkeypatch.setattr(app.services.stores, "put", away)
    jobs = [new_job(app) for _ in range(3)]
    assert tried == ["put"]
    assert [state_of(app, each) for each in jobs] == ["accepted"] * 3
    assert len(rows(app, "SELECT 1 FROM inputs WHERE content IS NOT NULL AND location IS NULL")) == 3
    monkeypatch.undo()
    run_whole(app, jobs[0])


def test_a_store_that_does_not_sign_gets_no_photo(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be sent as an address is not left where only addresses lead."""
    monkeypatch.setattr("worker.outputs.object_store.ObjectStore.link", lambda *_: None)
    taken = taken_job(app, new_job(app))
    assert (taken.is_inline, addresses(taken)) == (True, [])


# Nothing is sent now.


def obstacles(app: App, job: FollowUp) -> str:
    """Submit a job that can't be sent, and return what it waits for."""
    following = submit_job(app, job)
    assert following
    assert following.delay > timedelta(0)
    row = row_of(app, job.ticket.job_id)
    assert row["state"] == "accepted"
    assert [each["verdict"] for each in rows(app, "SELECT verdict FROM submissions")] == ["not_started"]
    return str(row["waits_for"])


def test_a_job_waits_for_a_store_that_does_not_sign_any_more(
    app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known that nothing was sent, so nobody looks for a run."""
    job = new_job(app)
    monkeypatch.setattr("worker.outputs.object_store.ObjectStore.link", lambda *_: None)
    assert "can't sign" in obstacles(app, job)
    assert posts(simulator) == []


def test_a_job_waits_for_the_store_that_is_not_set_any_more(app: App, simulator: Simulator) -> None:
    """Its photo is in none that this process knows; what it waits for says what to set."""
    job = new_job(app)
    without = create_app(app.services.settings.having(SAM3D_STORE_URL=None, SAM3D_INPUT_ADDRESSES="off"))
    assert "SAM3D_STORE_URL" in obstacles(without, job)
    without.close()
    assert posts(simulator) == []


def test_a_photo_that_comes_back_in_part_is_not_sent(
    app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of such a photo the vendor would make something, and be paid for it."""
    job = new_job(app)
    with_settings(app, SAM3D_INPUT_ADDRESSES="off")
    monkeypatch.setattr(Stores, "read", lambda *_: iter([PHOTO.read_bytes()[:-1]]))
    assert "in part" in obstacles(app, job)
    assert posts(simulator) == []


def test_nothing_is_sent_that_is_not_written_down(
    app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails between the intent and the address."""
    job = new_job(app)

    def fails(*_: object) -> bool:
        raise DatabaseError("m4rk3r")

    monkeypatch.setattr("worker.database.submissions.enclose", fails)
    assert "was not written down" in obstacles(app, job)
    assert "m4rk3r" not in str(row_of(app, job.ticket.job_id))
    assert posts(simulator) == []


def test_whoever_was_overtaken_sends_nothing(app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its address was made somebody has found out that the submit is absent."""
    address = Stores.address

    def slowly(stores: Stores, location: str, within: timedelta) -> str:
        rows(app, "UPDATE submissions SET verdict = 'absent' RETURNING 1")
        return address(stores, location, within)

    job = new_job(app)
    monkeypatch.setattr(Stores, "address", slowly)
    submit_job(app, job)
    assert posts(simulator) == []


# What the last release does with such a job.


def test_a_worker_of_the_last_release_gets_no_such_job(app: App) -> None:
    """It would send no photo: the database refuses its intent, and the message comes again."""
    job, other = new_job(app), new_job(app)
    rows(app, "UPDATE inputs SET location = NULL, content = 'x' WHERE job_id = CAST(:id AS uuid) RETURNING 1",
         id=other.ticket.job_id)  # fmt: skip
    intend_as_before(app, other)
    with pytest.raises(DatabaseError, match="this release can not"):
        intend_as_before(app, job)


def intend_as_before(app: App, job: FollowUp) -> None:
    """Write an intent as a worker does that knows nothing of addresses."""
    row = {"token": job.ticket.job_id, "job_id": job.ticket.job_id, "worker": "old"}
    with transaction(app.services.engine) as connection:
        connection.execute(submissions.insert().values(row))


# What is told of it.


def test_an_address_is_told_to_nobody_but_the_vendor(
    app: App, simulator: Simulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has it has the photo: it is in no log, no row, no event and no record, though the vendor quotes it."""
    job = new_job(app)
    taken = taken_job(app, job)
    [url] = addresses(taken)
    assert httpx.get(url).content == PHOTO.read_bytes()
    said = f"Could not download image from {url} (403)"
    simulator.add_fault(call="submit", kind="refuse_late", message=said)
    finish_job(app, follow_up(taken, commit_answer(app.services, taken, submit(app.services, taken))))
    assert state_of(app, job) == "failed"
    secret = parse_qs(urlsplit(url).query)["X-Amz-Signature"][0]
    stored = [
        str(rows(app, f"SELECT * FROM {table}")) for table in ("jobs", "submissions", "inputs", "events", "blobs")
    ]
    ours = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]
    told = [*stored, *ours, repr(taken), repr(taken.files), capsys.readouterr().out]
    assert not any(secret in each or "X-Amz" in each for each in told)
    assert "Could not download image from …" in str(rows(app, "SELECT error_message FROM jobs"))
