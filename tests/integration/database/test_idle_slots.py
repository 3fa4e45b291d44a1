"""A slot that nobody waits for is drawn by the statement that uses it, whoever else draws at the same instant."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy import event, insert, update
from sqlalchemy.exc import OperationalError

from tests.support.asked import WANTED
from tests.support.budgeted import (
    SECOND,
    Budgeted,
    account_row,
    add_jobs,
    alter_account,
    alter_job,
    close_window,
    counted_requests,
    drawn_slots,
    fresh_terms,
    job_row,
    send,
    slot_of,
)
from tests.support.clock import Clock
from tests.support.in_process import is_awaited
from tests.support.waiting import wait_until
from worker.app import App
from worker.database import idle_slots, purchases, records, slots, submissions
from worker.database.due import SLACK
from worker.database.engine import Connection, DatabaseError, Engine, single, transaction
from worker.database.purchases import Order, Permit
from worker.database.slots import UNUSED
from worker.database.submissions import Digest
from worker.database.tables import accounts, now
from worker.errors import HoldCause
from worker.rules.budget import NO_MARGIN, Kind, Margin
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Step, Ticket
from worker.rules.outcome import Hold
from worker.work import buying, holding, taking
from worker.work.drawing import draw, draw_at_once
from worker.work.taking import load

POLLED, FETCHED = JobState.PROCESSING, JobState.FETCHING
KEY_REFUSED = Hold(HoldCause.KEY, "The key is refused.")

T = TypeVar("T")


def _take(app: App, ticket: Ticket, state: JobState = POLLED) -> Job | None:
    terms, kind = app.services.outlook.terms(), Kind.POLL if state is POLLED else Kind.FETCH
    with single(app.services.engine) as connection:
        return idle_slots.take(connection, ticket, state, kind, terms, 30 * SECOND, session=1)


def _buy(app: App, ticket: Ticket, margin: Margin = NO_MARGIN) -> Margin | None:
    """Take a job to submit it, with the next slot; return the margin that is known then."""
    drawing = idle_slots.drawing(app.services.outlook.terms(), margin)
    order = Order(ticket, Permit.NEXT_SLOT, None, drawing)
    intent = submissions.intent_of(str(uuid4()), WANTED, "x", 1, Digest("", {}))
    with single(app.services.engine) as connection:
        bought = purchases.take(connection, order, WANTED, intent, 30 * SECOND)
    return (bought.margin or margin) if bought else None


def _next_slot(app: App) -> datetime | None:
    found: datetime | None = account_row(app)["next_slot_at"]
    return found


@contextmanager
def _while_locked(app: App, action: Callable[[], T], what: Callable[[Connection], object]) -> Iterator[Future[T]]:
    """Do something while an action on another thread waits for our locks; it goes on after the commit."""
    with ThreadPoolExecutor(1) as other:
        with transaction(app.services.engine) as connection:
            connection.exec_driver_sql("SELECT FROM accounts FOR NO KEY UPDATE")
            going = other.submit(action)
            wait_until(lambda: is_awaited(app), "it waits for us")
            what(connection)
        yield going


@contextmanager
def _executed(app: App) -> Iterator[list[str]]:
    """Keep what is executed, in a process that has learnt already what it goes by."""
    app.services.outlook.terms()
    app.services.session.key()
    executed: list[str] = []
    event.listen(app.services.engine, "before_cursor_execute", lambda *given: executed.append(given[2]))
    yield executed


# Reads


def test_a_read_is_taken_with_its_slot_in_one_statement(limited: App, clock: Clock) -> None:
    """The slot is used at once, so the job keeps none; the request is counted with it."""
    (ticket,) = add_jobs(limited, 1, POLLED)
    with _executed(limited) as executed:
        assert load(limited.services, Step.POLL, ticket)
    assert len(executed) == 1
    row = job_row(limited, ticket)
    assert (row["slot_at"], row["requests"], row["version"]) == (None, 1, 2)
    assert row["lease_until"] > clock.time
    assert _next_slot(limited) == clock.time + slot_of(limited)
    assert counted_requests(limited) == {Kind.POLL: 1}


def test_where_it_had_to_wait_nothing_is_written(limited: App, clock: Clock) -> None:
    """Then the longer way decides who goes first."""
    alter_account(limited, next_slot_at=now + SLACK + SECOND / 100)
    (ticket,) = add_jobs(limited, 1, POLLED)
    before = job_row(limited, ticket), account_row(limited)
    assert _take(limited, ticket) is None
    assert (job_row(limited, ticket), account_row(limited)) == before
    assert counted_requests(limited) == {}


def test_slots_are_a_slot_apart_however_they_are_drawn(budgeted: Budgeted, clock: Clock) -> None:
    """One that is due within the slack is as good as due, and the next one comes a slot after it."""
    app = budgeted(600)
    tickets = add_jobs(app, 5, POLLED)
    taken = [_take(app, each) is not None for each in tickets]
    assert taken == [True, True, True, False, False]
    assert _next_slot(app) == clock.time + 3 * slot_of(app)
    draw(app.services, Step.POLL, tickets[3])
    assert drawn_slots(app) == [clock.time + 3 * slot_of(app)]


def test_a_job_that_has_a_slot_draws_no_other(limited: App, clock: Clock) -> None:
    """Its message came when the slot was due; that the next one is not does not matter."""
    alter_account(limited, next_slot_at=now + 3 * SECOND)
    (ticket,) = add_jobs(limited, 1, POLLED)
    draw(limited.services, Step.POLL, ticket)
    assert _take(limited, ticket) is None
    clock.advance(3 * SECOND)
    assert _take(limited, ticket)
    assert counted_requests(limited) == {Kind.POLL: 1}


@pytest.mark.parametrize(("late", "drawn"), [(UNUSED, 1), (UNUSED + SECOND / 10, 2)])
def test_a_slot_that_is_over_is_drawn_anew(limited: App, clock: Clock, late: timedelta, drawn: int) -> None:
    """Its minute is over, or soon."""
    (ticket,) = add_jobs(limited, 1, POLLED)
    draw(limited.services, Step.POLL, ticket)
    clock.advance(late)
    assert _take(limited, ticket)
    assert counted_requests(limited) == {Kind.POLL: drawn}


def test_files_whose_place_is_known_need_no_slot(limited: App, clock: Clock) -> None:
    """The vendor is not asked, so nothing is drawn and nothing counted."""
    alter_account(limited, next_slot_at=now + timedelta(minutes=1))
    (ticket,) = add_jobs(limited, 1, FETCHED, addresses=["https://files/model.glb"])
    assert _take(limited, ticket, FETCHED)
    assert job_row(limited, ticket)["requests"] == 0
    assert counted_requests(limited) == {}


def test_a_stale_ticket_takes_nothing(limited: App) -> None:
    """Nor does one of another step, or one that is early."""
    (polled,) = add_jobs(limited, 1, POLLED)
    (early,) = add_jobs(limited, 1, POLLED, due_at=now + SECOND)
    assert _take(limited, Ticket(polled.job_id, 2)) is None
    assert _take(limited, polled, FETCHED) is None
    assert _take(limited, early) is None
    assert (_next_slot(limited), counted_requests(limited)) == (None, {})


def test_many_that_are_taken_at_once_have_a_slot_each(budgeted: Budgeted, clock: Clock) -> None:
    """Whichever process takes them, and some twice: each is taken, drawn and counted once."""
    apps = budgeted(60_000), budgeted(60_000)
    tickets = add_jobs(apps[0], 40, POLLED)
    with ThreadPoolExecutor(8) as pool:
        taken = pool.map(lambda number: load(apps[number % 2].services, Step.POLL, tickets[number // 2]), range(80))
        assert sum(job is not None for job in taken) == 40
    assert _next_slot(apps[0]) == clock.time + 40 * slot_of(apps[0])
    assert counted_requests(apps[0]) == {Kind.POLL: 40}


@pytest.mark.parametrize("reason", ["closed", "held"])
def test_who_waits_while_the_account_is_stopped_takes_nothing(limited: App, clock: Clock, reason: str) -> None:
    """As the account is once its row is ours, not as it was when the statement began."""
    (ticket,) = add_jobs(limited, 1, POLLED)

    def stop(connection: Connection) -> None:
        if reason == "held":
            holding.hold(connection, "default", KEY_REFUSED, stops_reads=True)
        else:
            connection.exec_driver_sql(
                "UPDATE accounts SET closed_until = sam3d_now() + interval '30 s', closes_reads = true"
            )

    with _while_locked(limited, lambda: _take(limited, ticket), stop) as taking:
        assert taking.result(60) is None
    assert (_next_slot(limited), counted_requests(limited)) == (None, {})
    assert job_row(limited, ticket)["version"] == 1


STOPPED: dict[str, dict[str, Any]] = {
    "held": {"held_at": now},
    "paused": {"paused_at": now},
    "closed": {"closed_until": now + timedelta(seconds=30)},
    "submits are missing": {"missing_since": now},
    "another database": {"compared_with": "another life"},
    "no answer tells": {"unknown_submits": 2},
}


@pytest.mark.parametrize("reason", STOPPED)
def test_who_waits_while_the_account_is_stopped_submits_nothing(limited: App, clock: Clock, reason: str) -> None:
    """A person who holds the account is told that nothing goes any more: then nothing does."""
    (ticket,) = add_jobs(limited, 1)

    def stop(connection: Connection) -> None:
        connection.execute(update(accounts).values(STOPPED[reason]))

    with _while_locked(limited, lambda: _buy(limited, ticket), stop) as buying:
        assert buying.result(60) is None
    assert (_next_slot(limited), counted_requests(limited)) == (None, {})
    assert job_row(limited, ticket)["version"] == 1


def test_who_waits_while_its_slot_is_drawn_uses_that(limited: App, clock: Clock) -> None:
    """Two messages of one job, at the same instant: what the first has drawn is the second's as well."""
    (ticket,) = add_jobs(limited, 1, POLLED)
    terms = limited.services.outlook.terms()

    def draw_first(connection: Connection) -> None:
        slots.draw(connection, ticket, Step.POLL, POLLED, terms, 30 * SECOND)

    with ThreadPoolExecutor(1) as other:
        with transaction(limited.services.engine) as connection:
            draw_first(connection)
            taking = other.submit(_take, limited, ticket)
            wait_until(lambda: is_awaited(limited), "it waits for us")
        assert taking.result(60)
    assert _next_slot(limited) == clock.time + slot_of(limited)
    assert counted_requests(limited) == {Kind.POLL: 1}
    assert (job_row(limited, ticket)["slot_at"], job_row(limited, ticket)["version"]) == (None, 2)


# Submits


def _add_submitted(app: App, count: int) -> None:
    """Add jobs that were submitted just now."""
    tickets = add_jobs(app, count, POLLED, submitted_at=now)
    with transaction(app.services.engine) as connection:
        rows = [{"token": each.job_id, "job_id": each.job_id, "worker": "x"} for each in tickets]
        connection.execute(insert(records.submissions), rows)


@pytest.fixture
def nearly_full(budgeted: Budgeted, clock: Clock) -> App:
    """Provide an app whose slots are free, while two more submits can go together with those that went."""
    app = budgeted(2400)
    _add_submitted(app, app.services.outlook.terms().most_together - 2)
    return app


def test_a_submit_draws_with_the_intent_to_pay(limited: App, clock: Clock) -> None:
    """What is sent is read before; its slot is used at once, so the job keeps none."""
    accepted = send(limited)
    assert accepted
    with _executed(limited) as executed:
        assert load(limited.services, Step.SUBMIT, accepted.ticket)
    assert len([each for each in executed if "jobs" in each]) == 2
    row = job_row(limited, accepted.ticket)
    assert (row["state"], row["slot_at"], row["requests"]) == (JobState.SUBMITTING, None, 1)
    assert _next_slot(limited) == clock.time + slot_of(limited)
    assert counted_requests(limited) == {Kind.SUBMIT: 1}


def test_a_submit_that_has_to_wait_for_its_slot_has_no_photo_read(limited: App) -> None:
    """Nor is anything written until it is looked at who goes first."""
    alter_account(limited, next_slot_at=now + 3 * SECOND)
    accepted = send(limited)
    assert accepted
    with patch.object(purchases, "take", side_effect=AssertionError("read")):
        assert load(limited.services, Step.SUBMIT, accepted.ticket) is None
    assert (len(drawn_slots(limited)), counted_requests(limited)) == (1, {Kind.SUBMIT: 1})


def test_a_submit_that_has_a_slot_draws_no_other(limited: App, clock: Clock) -> None:
    """Though the next one is due by now."""
    accepted = send(limited)
    assert accepted
    draw(limited.services, Step.SUBMIT, accepted.ticket)
    clock.advance(SECOND)
    assert load(limited.services, Step.SUBMIT, accepted.ticket)
    assert counted_requests(limited) == {Kind.SUBMIT: 1}


def test_a_submit_that_can_not_be_afforded_draws_nothing(nearly_full: App) -> None:
    """Though there is a slot that nobody waits for."""
    tickets = add_jobs(nearly_full, 3)
    assert [_buy(nearly_full, each) is not None for each in tickets] == [True, True, False]
    assert counted_requests(nearly_full) == {Kind.SUBMIT: 2}


def test_the_last_place_is_taken_once(nearly_full: App) -> None:
    """Who waits while it is drawn finds it gone: what was counted as its statement began is not all there is."""
    first, second, third = add_jobs(nearly_full, 3)
    terms = nearly_full.services.outlook.terms()
    assert _buy(nearly_full, first)

    def draw_second(connection: Connection) -> None:
        slots.draw(connection, second, Step.SUBMIT, JobState.ACCEPTED, terms, 30 * SECOND)

    with _while_locked(nearly_full, lambda: _buy(nearly_full, third), draw_second) as buying:
        assert buying.result(60) is None
    assert len(drawn_slots(nearly_full)) == 1
    assert counted_requests(nearly_full) == {Kind.SUBMIT: 2}


def test_many_submits_at_once_do_not_go_together(nearly_full: App, budgeted: Budgeted) -> None:
    """From two processes, each of which goes by what it counted, and both by the same terms."""
    apps = nearly_full, budgeted(2400)
    for app in apps:  # With these sixteen waiting, polls are worth less, and more could go together.
        app.services.outlook.terms()
        app.services.outlook._stale_at = float("inf")
    sent = [send(nearly_full) for _ in range(16)]
    tickets = [each.ticket for each in sent if each]
    with ThreadPoolExecutor(8) as pool:
        taken = pool.map(lambda number: load(apps[number % 2].services, Step.SUBMIT, tickets[number]), range(16))
        assert sum(job is not None for job in taken) == 2
    assert counted_requests(nearly_full) == {Kind.SUBMIT: 2}


def test_what_was_counted_is_gone_by(nearly_full: App) -> None:
    """As far as the slots go that were drawn since, by whomever: so far no more than that were submitted."""
    alter_account(nearly_full, next_slot_at=now)
    first, second, third = add_jobs(nearly_full, 3)
    margin = _buy(nearly_full, first)
    assert margin
    assert margin.ends_at - margin.begins_at == slot_of(nearly_full)
    assert _buy(nearly_full, second, margin) == margin
    assert _buy(nearly_full, third, margin) is None


def test_within_what_was_counted_nothing_is_counted(nearly_full: App) -> None:
    """That takes long: it is seen here by a margin that nobody would count."""
    alter_account(nearly_full, next_slot_at=now)
    begins_at = _next_slot(nearly_full)
    assert begins_at
    wide = Margin(begins_at, begins_at + SECOND)
    assert [_buy(nearly_full, each, wide) == wide for each in add_jobs(nearly_full, 4)] == [True] * 4


def test_a_margin_that_has_passed_is_counted_anew(limited: App, clock: Clock) -> None:
    """It ends by itself, as slots pass that nobody draws."""
    first, second = add_jobs(limited, 2)
    alter_account(limited, next_slot_at=now)
    before = _buy(limited, first)
    clock.advance(timedelta(minutes=1))
    alter_account(limited, next_slot_at=now)
    after = _buy(limited, second, before or NO_MARGIN)
    assert before
    assert after
    assert after.begins_at == before.begins_at + timedelta(minutes=1)


def test_a_margin_is_not_gone_by_once_the_clock_went_back(nearly_full: App) -> None:
    """The next slot was moved back with it, so it tells no more what was drawn."""
    alter_account(nearly_full, next_slot_at=now)
    at = _next_slot(nearly_full)
    assert at
    ahead = Margin(at + timedelta(hours=1), at + timedelta(hours=2))
    margins = [_buy(nearly_full, each, ahead) for each in add_jobs(nearly_full, 3)]
    assert [each is not None for each in margins] == [True, True, False]
    assert ahead not in margins


def test_other_terms_are_counted_by_anew(limited: App, clock: Clock) -> None:
    """A limit that was lowered meanwhile affords fewer."""
    terms = limited.services.outlook.terms()
    accepted = send(limited)
    assert accepted
    assert load(limited.services, Step.SUBMIT, accepted.ticket)
    assert limited.services.outlook.margin(terms) != NO_MARGIN
    assert limited.services.outlook.margin(fresh_terms(limited)) == NO_MARGIN


# A read that is made at once


def _drawn_at_once(app: App) -> bool:
    (ticket,) = add_jobs(app, 1, POLLED)
    job = _take(app, ticket)
    assert job
    before = counted_requests(app).get(Kind.FETCH, 0), _next_slot(app)
    is_drawn = draw_at_once(app.services, job, Step.FETCH)
    after = counted_requests(app).get(Kind.FETCH, 0), _next_slot(app)
    assert (after != before) is is_drawn
    return is_drawn


def test_a_slot_for_the_result_is_drawn_where_it_is_due(budgeted: Budgeted, clock: Clock) -> None:
    """And counted; else nothing is written."""
    app = budgeted(600)
    assert _drawn_at_once(app)
    assert _next_slot(app) == clock.time + 2 * slot_of(app)
    assert counted_requests(app) == {Kind.POLL: 1, Kind.FETCH: 1}
    assert not _drawn_at_once(budgeted(60))


def test_none_is_drawn_while_reads_are_stopped(budgeted: Budgeted, clock: Clock) -> None:
    """A 429 to another read, or a key that was refused, between a poll and its result."""
    app = budgeted(600)
    (ticket,) = add_jobs(app, 1, POLLED)
    job = _take(app, ticket)
    assert job
    close_window(app, 30 * SECOND, step=Step.POLL)
    assert not draw_at_once(app.services, job, Step.FETCH)
    clock.advance(30 * SECOND)
    with transaction(app.services.engine) as connection:
        holding.hold(connection, "default", KEY_REFUSED, stops_reads=True)
    assert not draw_at_once(app.services, job, Step.FETCH)
    alter_account(app, stops_reads=False)
    assert draw_at_once(app.services, job, Step.FETCH)


def test_where_nothing_is_drawn_reads_go_at_once(app: App, budgeted: Budgeted) -> None:
    """Without a limit, and where reads are free."""
    for free in (app, budgeted(60, SAM3D_READS_COUNT="no")):
        (ticket,) = add_jobs(free, 1, POLLED)
        job = load(free.services, Step.POLL, ticket)
        assert job
        assert draw_at_once(free.services, job, Step.FETCH)
        alter_job(free, ticket, state=JobState.REVIEW)
    assert counted_requests(app) == {}


# Replies that are lost


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lose the reply to whatever is committed by a single statement."""

    @contextmanager
    def lost(engine: Engine) -> Iterator[Connection]:
        with single(engine) as connection:
            yield connection
        raise OperationalError("", {}, ConnectionError())

    with monkeypatch.context() as patched:
        patched.setattr(taking, "single", lost)
        patched.setattr(buying, "single", _lost_once_read(lost))
        yield


def _lost_once_read(lost: Callable[[Engine], Any]) -> Callable[[Engine], Any]:
    """Lose no reply to what only reads."""
    ways = iter((single, lost))

    def in_turn(engine: Engine) -> Any:
        return next(ways)(engine)

    return in_turn


def _heard(app: App, step: Step, ticket: Ticket) -> Job | None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(taking, "single", single)
        patched.setattr(buying, "single", single)
        return load(app.services, step, ticket)


@pytest.mark.usefixtures("unheard")
def test_a_submit_whose_take_was_not_heard_of_is_taken_again_with_another_slot(limited: App, clock: Clock) -> None:
    """The first is lost: nothing was sent, and what was intended is taken back."""
    accepted = send(limited)
    assert accepted
    with pytest.raises(DatabaseError):
        load(limited.services, Step.SUBMIT, accepted.ticket)
    row = job_row(limited, accepted.ticket)
    assert (row["state"], row["slot_at"]) == (JobState.ACCEPTED, None)
    clock.advance(slot_of(limited))
    assert _heard(limited, Step.SUBMIT, Ticket(accepted.ticket.job_id, row["version"]))
    assert counted_requests(limited) == {Kind.SUBMIT: 2}


@pytest.mark.usefixtures("unheard")
def test_a_read_whose_take_was_not_heard_of_is_taken_again_with_another_slot(limited: App, clock: Clock) -> None:
    """The first is lost, as nobody knows whether it was used; no request is made without one."""
    (ticket,) = add_jobs(limited, 1, POLLED)
    with pytest.raises(DatabaseError):
        load(limited.services, Step.POLL, ticket)
    row = job_row(limited, ticket)
    assert (row["lease_until"], row["sweep_at"]) == (None, clock.time)
    again = Ticket(ticket.job_id, row["version"])
    assert _heard(limited, Step.POLL, again) is None
    clock.advance(slot_of(limited))
    assert _heard(limited, Step.POLL, again)
    assert counted_requests(limited) == {Kind.POLL: 2}
