"""Asks about a job, on a real database and a real broker: who is answered, what he hears, and what is written."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from kombu import Connection

from tests.support.in_process import advance, settings_of
from tests.support.listener import Listener
from tests.support.requests import at_once, end, job_ids, request, rows
from worker.app import App, create_app
from worker.broker.topology import declare
from worker.errors import TransientError
from worker.intake.accept import accept
from worker.intake.asking import answer
from worker.intake.envelope import Envelope
from worker.intake.request import derived_job_id
from worker.rules.asks import Ask
from worker.rules.lifecycle import EventType, FollowUp
from worker.rules.origin import NOBODY, Origin
from worker.simulator import Simulator

ALICE, BOB = Origin("user alice", "ask-1"), Origin("user bob", "ask-2")
UNNAMED = Origin("user alice")
"""Who calls his message nothing."""


@pytest.fixture
def app(migrated_url: str, vhost_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app on a broker that has all that is ours; nothing runs but what the test calls."""
    with Connection(vhost_url) as connection:
        declare(connection)
    built = create_app(settings_of(vhost_url, migrated_url, simulator))
    yield built
    built.close()


Hear = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def hear(app: App, vhost_url: str) -> Iterator[Hear]:
    """Return what gives the events that were announced since it was asked last; a mark of its own ends them."""
    with Connection(vhost_url) as connection, connection.Producer() as producer:
        listener = Listener(connection)

        def heard() -> list[dict[str, Any]]:
            mark, headers = uuid4().hex, {"ce-specversion": "1.0", "ce-source": "test", "ce-type": "mark"}
            producer.publish(
                b"{}",
                exchange="sam3d.events",
                routing_key="mark",
                headers={**headers, "ce-id": mark, "ce-subject": mark},
                content_type="application/json",
            )
            while not any(event["id"] == mark for event in listener.events):
                connection.drain_events(timeout=20)
            came = [event for event in listener.events if event["type"] != "mark"]
            listener.events.clear()
            return came

        yield heard


def sent(app: App, origin: Origin = UNNAMED, **fields: Any) -> FollowUp:
    """Let a request of somebody's come; return the submit that follows."""
    follow_up = accept(app.services, request(**fields), derived_job_id("test", uuid4().hex), origin=origin)
    assert follow_up
    return follow_up


def ask(app: App, what: Ask, origin: Origin = ALICE, message: str = "m-1", **fields: Any) -> FollowUp | None:
    """Let a message ask about a job."""
    return answer(app.services, what, Envelope(fields, derived_job_id("test", message), ask=what), origin)


def written(app: App) -> list[Any]:
    """Return all that the asks could have written: each row as it is, whoever wrote it last."""
    return [rows(app, f"SELECT *, xmin::text FROM {table} ORDER BY 1") for table in ("jobs", "events", "inputs")]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Return the last words of the types of events."""
    return [event["type"].rpartition(".")[2] for event in events]


def code(event: dict[str, Any]) -> tuple[str, str]:
    """Return the code and the field of an event's error."""
    error = event["data"]["error"]
    return error["code"], error["field"]


def test_a_status_is_the_current_event_once_more(app: App, hear: Hear) -> None:
    """Under the id that it has, with what the asker calls his message; whichever the state is."""
    follow_up = sent(app, metadata={"order": 7})
    job_id = follow_up.ticket.job_id
    [accepted] = hear()
    ask(app, Ask.STATUS, job_id=job_id)
    assert hear() == [{**accepted, "correlation_id": "ask-1"}]
    polled = advance(app, follow_up)
    [submitted] = hear()
    ask(app, Ask.STATUS, job_id=job_id)
    assert hear() == [{**submitted, "correlation_id": "ask-1"}]
    advance(app, polled)
    ask(app, Ask.STATUS, job_id=job_id)
    assert hear() == [{**submitted, "correlation_id": "ask-1"}], "a fetch is nobody's business"


def test_an_event_keeps_what_its_own_sender_calls_it(app: App, hear: Hear) -> None:
    """Where the asker gives his message no name, the job's is there."""
    job_id = sent(app, Origin("user alice", "order-17")).ticket.job_id
    ask(app, Ask.STATUS, UNNAMED, job_id=job_id)
    assert [event["correlation_id"] for event in hear()] == ["order-17", "order-17"]


def test_a_flood_of_asks_writes_nothing(app: App, hear: Hear) -> None:
    """However many there are, of the sender's or of strangers', good or bad: no row is added or touched."""
    job_id = sent(app).ticket.job_id
    before = written(app)
    for number in range(30):
        ask(app, Ask.STATUS, message=f"m-{number}", job_id=job_id)
        ask(app, Ask.RETRY, message=f"m-{number}", job_id=job_id)
        ask(app, Ask.CANCEL, BOB, message=f"m-{number}", job_id=job_id)
        ask(app, Ask.STATUS, message=f"m-{number}", job_id=str(uuid4()))
        ask(app, Ask.STATUS, message=f"m-{number}", job_id=number)
    assert written(app) == before
    assert len(hear()) == 1 + 5 * 30


def test_a_stranger_learns_nothing(app: App, hear: Hear) -> None:
    """About another's job he hears, word for word, what he hears about one that there is not; and changes nothing."""
    job_id = sent(app, metadata={"owner": "shop"}).ticket.job_id
    before, nowhere = written(app), str(uuid4())
    hear()
    for what in Ask:
        for named in (job_id, nowhere):
            assert ask(app, what, BOB, job_id=named) is None
        told, untold = ({**event, "id": "", "subject": "", "data": {**event["data"], "job_id": ""}} for event in hear())
        assert told == untold
        assert (told["type"], told["correlation_id"]) == (EventType.REFUSED, "ask-2")
        assert code(told) == ("unknown_job", "job_id")
        assert told["data"].keys() == {"job_id", "message_id", "metadata", "ask", "error"}
        assert "shop" not in json.dumps(told)
    assert written(app) == before


@pytest.mark.parametrize(
    ("owner", "asker", "is_answered"),
    [
        ("user alice", Origin("event alice"), False),
        ("user alice", NOBODY, False),
        ("", NOBODY, True),
        ("", BOB, False),
        (None, BOB, True),
        (None, NOBODY, True),
    ],
)
def test_a_job_is_asked_about_by_whoever_may_use_its_key(
    app: App, hear: Hear, owner: str | None, asker: Origin, *, is_answered: bool
) -> None:
    """Those who don't say who they are share theirs; one from before sources were asked after is anybody's."""
    job_id = sent(app).ticket.job_id
    rows(app, "UPDATE jobs SET source = :owner RETURNING 1", owner=owner)
    hear()
    ask(app, Ask.STATUS, asker, job_id=job_id)
    assert kinds(hear()) == ["accepted" if is_answered else "refused"]


def test_a_cancel_ends_the_job(app: App, hear: Hear) -> None:
    """Its event is the answer, for who follows the job and for who asked; a second one hears it once more."""
    job_id = sent(app, Origin("user alice", "order-17")).ticket.job_id
    hear()
    ask(app, Ask.CANCEL, job_id=job_id)
    first, answered = hear()
    assert (first["type"], first["correlation_id"]) == (EventType.CANCELLED, "order-17")
    assert answered == {**first, "correlation_id": "ask-1"}
    ask(app, Ask.CANCEL, message="m-2", job_id=job_id)
    assert hear() == [answered]
    assert [row["state"] for row in rows(app, "SELECT state FROM jobs")] == ["cancelled"]


def test_a_cancel_that_nobody_named_is_told_once(app: App, hear: Hear) -> None:
    """The job's own event is the answer then."""
    job_id = sent(app).ticket.job_id
    hear()
    ask(app, Ask.CANCEL, UNNAMED, job_id=job_id)
    assert kinds(hear()) == ["cancelled"]


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_a_job_that_is_over_is_not_cancelled(app: App, hear: Hear, state: str) -> None:
    """Who comes too late hears how it ended, though that never was announced; that is written once."""
    job_id = sent(app).ticket.job_id
    end(app, state, job_id)
    hear()
    for message in ("m-1", "m-2"):
        ask(app, Ask.CANCEL, message=message, job_id=job_id)
    first, second = hear()
    assert first == second
    assert kinds([first]) == [state]
    assert len(rows(app, "SELECT 1 FROM events")) == 2


def test_a_retry_is_a_new_job(app: App, hear: Hear) -> None:
    """Its ``accepted`` is the answer; it has what its sender gave, goes on, and is the asker's own."""
    job_id = sent(app, Origin("user alice", "order-17"), metadata={"order": 7}).ticket.job_id
    end(app, "failed", job_id)
    hear()
    follow_up = ask(app, Ask.RETRY, job_id=job_id)
    assert follow_up
    new_id = follow_up.ticket.job_id
    accepted, answered = hear()
    assert accepted["data"] == {"job_id": new_id, "state": "accepted", "metadata": {"order": 7}, "retry_of": job_id}
    assert (accepted["correlation_id"], answered) == ("order-17", {**accepted, "correlation_id": "ask-1"})
    advance(app, follow_up)
    ask(app, Ask.STATUS, job_id=new_id)
    assert kinds(hear()) == ["submitted", "submitted"]


def test_a_retry_that_comes_again_is_one_job(app: App, hear: Hear) -> None:
    """Also where both come at once: the same message is answered with the same event, another one is refused."""
    job_id = sent(app).ticket.job_id
    end(app, "cancelled", job_id)
    hear()
    at_once(4, lambda: ask(app, Ask.RETRY, job_id=job_id))
    heard = hear()
    assert len({event["id"] for event in heard}) == 1
    assert kinds(heard) == ["accepted"] * 5
    [_, second] = job_ids(app)
    ask(app, Ask.RETRY, message="m-2", job_id=job_id)
    [refused] = hear()
    assert code(refused) == ("not_retryable", "job_id")
    assert f"was retried already: its place has job {second}" in refused["data"]["error"]["message"]
    assert job_ids(app) == [job_id, second]


def test_the_id_of_a_retry_is_not_to_be_foreseen(app: App) -> None:
    """The same message about two jobs that differ in their photo alone leads to two ids that share nothing."""
    ids = []
    for seed in (1, 2):
        job_id = sent(app, seed=seed).ticket.job_id
        end(app, "failed", job_id)
        follow_up = ask(app, Ask.RETRY, job_id=job_id)
        assert follow_up
        ids.append(UUID(follow_up.ticket.job_id))
        prints = rows(app, "SELECT fingerprint FROM jobs WHERE id = :id", id=UUID(job_id))
        assert ids[-1] not in {derived_job_id("test", "m-1"), UUID(prints[0]["fingerprint"][:32])}
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("state", "sentence"),
    [("accepted", "it goes on."), ("review", "a person decides it"), ("succeeded", "its files are there")],
)
def test_a_job_that_can_not_be_retried_is_refused(app: App, hear: Hear, state: str, sentence: str) -> None:
    """With the sentence that the command line gives."""
    job_id = sent(app).ticket.job_id
    end(app, state, job_id)
    hear()
    assert ask(app, Ask.RETRY, job_id=job_id) is None
    [refused] = hear()
    assert code(refused) == ("not_retryable", "job_id")
    assert sentence in refused["data"]["error"]["message"]
    assert (refused["subject"], refused["data"]["ask"]) == (job_id, "retry")


def test_no_message_pays_again(app: App, hear: Hear) -> None:
    """A job that has a paid run is a person's, however it is asked."""
    follow_up = sent(app)
    job_id = follow_up.ticket.job_id
    advance(app, follow_up)
    ask(app, Ask.CANCEL, job_id=job_id)
    hear()
    ask(app, Ask.RETRY, job_id=job_id)
    ask(app, Ask.RETRY, job_id=job_id, pay_again=True)
    paid, asked = hear()
    assert code(paid) == ("not_retryable", "job_id")
    assert "has a paid run" in paid["data"]["error"]["message"]
    assert code(asked) == ("not_supported", "pay_again")
    assert job_ids(app) == [job_id]


def test_an_ask_about_no_job_is_refused_under_its_own_name(app: App, hear: Hear) -> None:
    """Where it names no job the event is about the message itself."""
    ask(app, Ask.STATUS, job_id="x")
    [refused] = hear()
    assert refused["subject"] == refused["data"]["message_id"] == str(derived_job_id("test", "m-1"))


def test_an_answer_that_the_broker_does_not_take_is_asked_for_again(app: App, vhost_url: str, hear: Hear) -> None:
    """The ask comes again; a cancel was committed by then, and is announced all the same."""
    job_id = sent(app).ticket.job_id
    hear()
    with Connection(vhost_url) as connection:
        channel: Any = connection.default_channel
        channel.exchange_delete("sam3d.events")
        for what in (Ask.CANCEL, Ask.STATUS):
            with pytest.raises(TransientError):
                ask(app, what, job_id=job_id)
        declare(connection)
        listener = Listener(connection)
        ask(app, Ask.CANCEL, job_id=job_id)
        listener.wait_for(job_id, EventType.CANCELLED)
    waiting = rows(app, "SELECT type FROM events WHERE published_at IS NULL")
    assert [row["type"] for row in waiting] == [EventType.CANCELLED], "the relay has it for who follows the job"
