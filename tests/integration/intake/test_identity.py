"""How long a request is the same: by its body for ten minutes, by its key until its job failed or was cancelled."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from tests.support.clock import Clock
from tests.support.requests import at_once, end, job_ids, request, rows, send
from worker.app import App
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.duplicates import MOST_RETELLINGS
from worker.intake.request import derived_job_id
from worker.rules.origin import NOBODY, Origin
from worker.work.cancelling import cancel

MINUTE = timedelta(minutes=1)
FIRST_TIME = timedelta(0)
AGAIN = timedelta(hours=1)
BODY = derived_job_id("body", "0f")


def told(app: App) -> list[tuple[str, str, str | None]]:
    """Return what was announced: the type's last word, the subject, and the event that it tells again."""
    query = "SELECT type, job_id, duplicate_of FROM events ORDER BY position"
    return [
        (row["type"].rpartition(".")[2], str(row["job_id"]), row["duplicate_of"] and str(row["duplicate_of"]))
        for row in rows(app, query)
    ]


def send_body(app: App, body_age: timedelta = FIRST_TIME, **fields: Any) -> None:
    """Let a message come of which nothing but its body is known."""
    accept(app.services, request(**fields), BODY, body_age)


def test_the_same_body_later_is_a_new_job(app: App, clock: Clock) -> None:
    """Within ten minutes it is a duplicate, after them it is not, and then its ten minutes begin again."""
    for minutes, count in ((0, 1), (9, 1), (2, 2), (9, 2), (2, 3)):
        clock.advance(minutes * MINUTE)
        send_body(app)
        assert len(job_ids(app)) == count
    assert job_ids(app)[0] == str(BODY)
    assert len(set(job_ids(app))) == 3


def test_a_body_that_can_not_be_run_is_judged_anew_later(app: App, clock: Clock) -> None:
    """What was refused once is not refused for ever under the same event."""
    for _ in range(2):
        accept(app.services, {"image": "no image"}, BODY, FIRST_TIME)
        clock.advance(11 * MINUTE)
    assert [kind for kind, *_ in told(app)] == ["failed", "failed"]
    assert len({job_id for _, job_id, _ in told(app)}) == 2


def test_a_message_that_comes_again_late_makes_no_second_job(app: App, clock: Clock) -> None:
    """The broker was away for an hour, or a worker put it aside: how long ago it was seen first is what counts."""
    send_body(app)
    clock.advance(60 * MINUTE)
    send_body(app, AGAIN)
    assert len(job_ids(app)) == 1
    send_body(app, 5 * MINUTE)
    assert len(job_ids(app)) == 2, "it was seen first when the first job was long there"


def test_a_job_of_the_last_release_counts_as_well(app: App, clock: Clock) -> None:
    """Its workers write no identity of a body; its id is that."""
    send_body(app)
    rows(app, "UPDATE jobs SET body_id = NULL RETURNING id")
    clock.advance(9 * MINUTE)
    send_body(app)
    assert len(job_ids(app)) == 1
    clock.advance(2 * MINUTE)
    send_body(app)
    assert len(job_ids(app)) == 2


@pytest.mark.parametrize("is_over", [False, True])
def test_many_at_once_make_one_job(app: App, clock: Clock, *, is_over: bool) -> None:
    """The identity is claimed by a constraint, when it is new as well as when the time of the last one is just over."""
    if is_over:
        send_body(app)
        clock.advance(11 * MINUTE)
    at_once(12, lambda: send_body(app))
    assert len(job_ids(app)) == 1 + is_over


@pytest.mark.parametrize("fields", [{}, {"prompt": "another payload"}])
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_key_is_free_again(app: App, state: str, fields: dict[str, Any]) -> None:
    """After a failure or a cancel it makes a new job, linked to the last, with another payload too."""
    first = send(app, idempotency_key="order-1")
    if state == "cancelled":
        cancel(app.services, first)
    else:
        end(app, state, first)
    second = send(app, idempotency_key="order-1", **fields)
    assert job_ids(app) == [first, second]
    links = rows(app, "SELECT retry_of FROM jobs WHERE id = :id", id=UUID(second))
    assert [str(row["retry_of"]) for row in links] == [first]
    payload = rows(app, "SELECT payload FROM events WHERE job_id = :id", id=UUID(second))[0]["payload"]
    assert (payload["retry_of"], payload["state"]) == (first, "accepted")


@pytest.mark.parametrize("state", ["accepted", "review", "succeeded"])
def test_a_key_is_pinned_while_its_job_may_succeed(app: App, state: str) -> None:
    """The same request hears which job it became; another payload is refused."""
    first = send(app, idempotency_key="order-1")
    end(app, state, first)
    second, third = send(app, idempotency_key="order-1"), send(app, idempotency_key="order-1", seed=7)
    assert job_ids(app) == [first]
    kinds = [(kind, job_id) for kind, job_id, _ in told(app)]
    assert ("accepted", second) in kinds
    assert kinds[-1] == ("refused", third)


def test_a_freed_key_makes_one_job_of_many_at_once(app: App) -> None:
    """The database's index decides, not a look before."""
    end(app, "failed", send(app, idempotency_key="order-1"))
    at_once(8, lambda: send(app, idempotency_key="order-1"))
    assert len(job_ids(app)) == 2


def test_a_freed_key_counts_more_than_an_equal_body(app: App) -> None:
    """Sent anew it is a new job at once; delivered again it is the one that failed."""
    send_body(app, idempotency_key="order-1")
    end(app, "failed", str(BODY))
    send_body(app, AGAIN, idempotency_key="order-1")
    assert job_ids(app) == [str(BODY)]
    send_body(app, idempotency_key="order-1")
    assert len(job_ids(app)) == 2
    send_body(app, idempotency_key="order-1")
    assert len(job_ids(app)) == 2, "that one is under way"


def test_an_old_message_of_a_freed_key_stays_a_duplicate(app: App) -> None:
    """The failed job's own message comes again: its identity is known for good."""
    first = send(app, "m-1", idempotency_key="order-1")
    end(app, "failed", first)
    send(app, idempotency_key="order-1")
    send(app, "m-1", idempotency_key="order-1")
    assert len(job_ids(app)) == 2


def test_a_duplicate_is_an_event_of_its_own(app: App) -> None:
    """Its id is new and it is linked to the first; a message that comes twice is told twice under one id."""
    key = {"job_id": str(uuid4())}
    for message in ("m-1", "m-2", "m-2", "m-3"):
        accept(app.services, {**request(), **key}, derived_job_id("celery", message))
    events = rows(app, "SELECT id, payload FROM events ORDER BY position")
    assert len({row["id"] for row in events}) == len(events) == 3
    first, *others = events
    for other in others:
        link = {"duplicate": True, "duplicate_of_event": str(first["id"])}
        assert other["payload"] == {**first["payload"], **link}


def test_a_duplicate_that_is_heard_again_is_published_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least once: the sender whose message comes again may not have heard the first answer."""
    fields = {**request(), "job_id": str(uuid4())}
    for _ in range(3):
        accept(app.services, fields, derived_job_id("celery", "m-1"))
        rows(
            app, "UPDATE events SET published_at = sam3d_now(), occurred_at = sam3d_now() - interval '1 h' RETURNING 1"
        )
    monkeypatch.setattr(app.services.post, "announce", len)
    accept(app.services, fields, derived_job_id("celery", "m-1"))
    assert len(rows(app, "SELECT id FROM events WHERE published_at IS NULL")) == 1


def test_a_stranger_with_the_same_body_hears_it(app: App) -> None:
    """Two that send the same bytes are told under two ids, the second of them of the same job."""
    for _ in range(3):
        send_body(app)
    events = rows(app, "SELECT id, job_id, payload FROM events ORDER BY position")
    assert len({row["id"] for row in events}) == 3
    assert {str(row["job_id"]) for row in events} == {str(BODY)}
    assert [row["payload"].get("duplicate", False) for row in events] == [False, True, True]


def test_a_stranger_learns_nothing_that_he_did_not_send(app: App) -> None:
    """Under another's key or job id with other metadata he is refused, and is given back his own alone."""
    first = send(app, idempotency_key="order-1", metadata={"owner": "shop"})
    fields = request(idempotency_key="order-1", metadata={"owner": "stranger"})
    accept(app.services, fields, derived_job_id("celery", "his"))
    accept(app.services, {**fields, "job_id": first}, derived_job_id("celery", "his too"))
    heard = rows(app, "SELECT type, payload FROM events ORDER BY position OFFSET 1")
    assert [row["type"].rpartition(".")[2] for row in heard] == ["refused", "refused"]
    assert "shop" not in str(heard)


def test_a_flood_of_duplicates_does_not_fill_the_outbox(app: App, clock: Clock) -> None:
    """Beyond a number all duplicates of a minute share an event."""
    fields = {**request(), "job_id": str(uuid4())}
    for count in range(MOST_RETELLINGS + 30):
        accept(app.services, fields, derived_job_id("celery", f"m-{count}"))
    assert len(rows(app, "SELECT id FROM events")) == 1 + MOST_RETELLINGS + 1
    clock.advance(MINUTE)
    accept(app.services, fields, derived_job_id("celery", "later"))
    assert len(rows(app, "SELECT id FROM events")) == 1 + MOST_RETELLINGS + 2


ALICE, BOB = Origin("user alice"), Origin("user bob")


def send_as(app: App, origin: Origin, **fields: Any) -> str:
    """Let a task message of somebody's come; return the id of the job that it asks for."""
    derived = derived_job_id("celery", uuid4().hex)
    accept(app.services, request(**fields), derived, origin=origin)
    return str(derived)


def test_a_key_is_its_senders_own(app: App) -> None:
    """Whoever uses another's key has a job of his own; his second message is his first job."""
    jobs = [send_as(app, origin, idempotency_key="order-17") for origin in (ALICE, BOB, NOBODY)]
    for origin in (ALICE, BOB, NOBODY):
        send_as(app, origin, idempotency_key="order-17")
    assert job_ids(app) == jobs


def test_a_key_from_before_is_everybodys(app: App) -> None:
    """A worker of the last release accepted it, and asked nobody: it is not paid for again under any name."""
    first = send_as(app, NOBODY, idempotency_key="order-17")
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET source = NULL"))
    for origin in (ALICE, NOBODY):
        send_as(app, origin, idempotency_key="order-17")
    assert job_ids(app) == [first]
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET state = 'failed', error_code = 'x', finished_at = now()"))
    again = send_as(app, ALICE, idempotency_key="order-17")
    assert [str(row["retry_of"]) for row in rows(app, "SELECT retry_of FROM jobs WHERE id = :id", id=again)] == [first]


def test_a_worker_of_the_last_release_takes_no_key_of_anybodys(app: App) -> None:
    """It knows a key by its name alone, and its row is none while a job has it, whosever that is."""
    (first,) = [send_as(app, ALICE, idempotency_key="order-17")]
    as_before = (
        "INSERT INTO jobs (id, state, fingerprint, idempotency_key, sweep_at) "
        "VALUES (gen_random_uuid(), 'accepted', '', :key, now()) ON CONFLICT DO NOTHING RETURNING id"
    )
    assert rows(app, as_before, key="order-17") == []
    assert len(rows(app, as_before, key="order-18")) == 1
    cancel(app.services, first)
    assert len(rows(app, as_before, key="order-17")) == 1
