"""The request budget that all workers share, against a real database and the simulator."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from unittest.mock import Mock
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from tests.support.budgeted import (
    SECOND,
    Budgeted,
    account_row,
    add_jobs,
    add_submitted,
    alter_account,
    alter_job,
    close_window,
    count_calls,
    counted_requests,
    drawn_slots,
    drive,
    fresh_terms,
    job_row,
    limit_calls,
    make_scheduler,
    send,
    slot_of,
    take,
)
from tests.support.clock import Clock
from worker.app import App
from worker.database import idle_slots
from worker.database.engine import DatabaseError, transaction
from worker.database.jobs import cancel
from worker.database.slots import UNUSED, WAITS
from worker.database.tables import accounts, now
from worker.errors import HoldCause
from worker.rules.budget import Kind
from worker.rules.lifecycle import DRIVEN_BY, FollowUp, JobState, Step, Ticket
from worker.rules.outcome import Hold
from worker.simulator import Simulator
from worker.work import holding
from worker.work.drawing import draw
from worker.work.executor import execute
from worker.work.taking import load

BY_A_PERSON = Hold(HoldCause.OPERATOR, "Held by a person.")


def _released(app: App) -> list[Ticket]:
    """Let the scheduler release what it can, and return it in order."""
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.release()
    assert {each.step for each in sent} <= {Step.SUBMIT}
    return [each.ticket for each in sent]


# Without a limit


def test_without_a_limit_nothing_is_drawn_or_counted(app: App, clock: Clock, simulator: Simulator) -> None:
    """A job travels as it did before there was a budget."""
    drive(app, clock, send(app))
    assert drawn_slots(app) == []
    assert account_row(app)["next_slot_at"] is None
    assert counted_requests(app) == {}
    assert count_calls(simulator, "submit") == 1


def test_without_a_limit_the_scheduler_releases_nothing(app: App) -> None:
    """A row whose message was lost is swept, as ever."""
    (ticket,) = add_jobs(app, 1)
    assert _released(app) == []
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.sweep()
    assert [each.ticket for each in sent] == [ticket]


def test_without_a_limit_a_closed_window_is_respected(app: App, clock: Clock, simulator: Simulator) -> None:
    """What the vendor said holds for every worker, though nothing is learnt of a limit that is not set."""
    first, second = send(app), send(app)
    assert first
    assert second
    limit_calls(simulator, "submit", clock.time + 20 * SECOND)
    execute(app.services, Step.SUBMIT, first.ticket)
    waits = execute(app.services, Step.SUBMIT, second.ticket)
    assert waits == FollowUp(Step.SUBMIT, second.ticket, 20 * SECOND)
    assert (count_calls(simulator, "submit"), account_row(app)["learnt_limit"]) == (1, None)


# Slots


@pytest.mark.parametrize("limit", [1, 60, 100_000])
def test_draws_are_a_slot_apart(budgeted: Budgeted, clock: Clock, limit: int) -> None:
    """The first is now, whatever the limit; what was not drawn before is not drawn later."""
    app = budgeted(limit)
    tickets = add_jobs(app, 5, JobState.PROCESSING)
    for ticket in tickets:
        draw(app.services, Step.POLL, ticket)
    assert [job_row(app, ticket)["slot_at"] for ticket in tickets] == [
        clock.time + each * slot_of(app) for each in range(5)
    ]
    assert counted_requests(app) == {Kind.POLL: 5}


def test_slots_that_nobody_drew_are_lost(limited: App, clock: Clock) -> None:
    """After a quiet hour requests are not made in a burst."""
    first, second = add_jobs(limited, 2, JobState.PROCESSING)
    draw(limited.services, Step.POLL, first)
    clock.advance(timedelta(hours=1))
    draw(limited.services, Step.POLL, second)
    assert job_row(limited, second)["slot_at"] == clock.time
    assert account_row(limited)["next_slot_at"] == clock.time + slot_of(limited)


def test_no_two_workers_draw_the_same_slot(budgeted: Budgeted) -> None:
    """However many draw at the same time, from two processes, results before polls."""
    apps = budgeted(600), budgeted(600)
    polls, results = (add_jobs(apps[0], 40, state) for state in (JobState.PROCESSING, JobState.FETCHING))

    def work(number: int) -> None:
        draw(apps[number % 2].services, Step.POLL, polls[number])
        draw(apps[number % 2].services, Step.FETCH, results[number])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    slots = sorted(drawn_slots(apps[0]))
    assert len(slots) == 80
    assert min(later - earlier for earlier, later in pairwise(slots)) == slot_of(apps[0])
    assert counted_requests(apps[0]) == {Kind.POLL: 40, Kind.FETCH: 40}


def test_all_steps_of_a_job_draw_from_the_same_budget(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Each request is drawn and counted once; the download of the file is none."""
    app = budgeted(600)
    drive(app, clock, send(app))
    assert counted_requests(app) == {Kind.SUBMIT: 1, Kind.POLL: 1, Kind.FETCH: 1}
    assert simulator.requests()["total"] == 4


def test_a_second_message_keeps_the_slot(limited: App, clock: Clock) -> None:
    """It waits for the same time, and what comes first uses the slot; for the other nothing is left."""
    alter_account(limited, next_slot_at=now + 3 * SECOND)
    (ticket,) = add_jobs(limited, 1, JobState.PROCESSING)
    waits = [execute(limited.services, Step.POLL, ticket) for _ in range(2)]
    assert waits == [FollowUp(Step.POLL, ticket, 3 * SECOND)] * 2
    clock.advance(3 * SECOND)
    assert load(limited.services, Step.POLL, ticket)
    assert execute(limited.services, Step.POLL, ticket) is None
    row = job_row(limited, ticket)
    assert (row["slot_at"], row["requests"]) == (None, 1)
    assert counted_requests(limited) == {Kind.POLL: 1}


@pytest.mark.parametrize(("late", "drawn"), [(UNUSED, 1), (UNUSED + SECOND / 10, 2)])
def test_a_slot_that_was_not_used_is_drawn_anew(limited: App, clock: Clock, late: timedelta, drawn: int) -> None:
    """Its minute is over, or soon; a message that is a little late may use it still."""
    (ticket,) = add_jobs(limited, 1, JobState.PROCESSING)
    draw(limited.services, Step.POLL, ticket)
    clock.advance(late)
    assert load(limited.services, Step.POLL, ticket)
    assert counted_requests(limited) == {Kind.POLL: drawn}


def test_a_stale_ticket_draws_nothing(limited: App) -> None:
    """Nor does one of another step, one that is early, or one whose job a worker has."""
    (polled,) = add_jobs(limited, 1, JobState.PROCESSING)
    (early,) = add_jobs(limited, 1, JobState.PROCESSING, due_at=now + SECOND)
    draw(limited.services, Step.POLL, Ticket(polled.job_id, 2))
    draw(limited.services, Step.POLL, Ticket(str(uuid4()), 1))
    draw(limited.services, Step.FETCH, polled)
    draw(limited.services, Step.POLL, early)
    assert account_row(limited)["next_slot_at"] is None
    take(limited, Step.POLL, polled)
    draw(limited.services, Step.POLL, polled)
    assert counted_requests(limited) == {Kind.POLL: 1}


def test_a_request_waits_for_its_slot(limited: App) -> None:
    """A slot to come is a time to come back, whatever the request is for."""
    for state in (JobState.PROCESSING, JobState.FETCHING, JobState.ACCEPTED):
        alter_account(limited, next_slot_at=now + 2 * SECOND)
        (ticket,) = add_jobs(limited, 1, state)
        step = DRIVEN_BY[state]
        assert step
        waits = execute(limited.services, step, ticket)
        assert waits
        assert SECOND < waits.delay <= 2 * SECOND
        alter_job(limited, ticket, slot_at=None)


def _queued(app: App, *states: JobState) -> list[Ticket]:
    """Let jobs draw slots one after another, each with a message under way."""
    tickets = []
    for state in states:
        tickets += add_jobs(app, 1, state, sweep_at=now + timedelta(minutes=1))
        step = DRIVEN_BY[state]
        assert step
        draw(app.services, step, tickets[-1])
    return tickets


def _order(app: App, tickets: Sequence[Ticket]) -> list[int]:
    """Return the places of some jobs in the order of their slots."""
    slots = [job_row(app, each)["slot_at"] for each in tickets]
    assert None not in slots
    return [sorted(slots).index(slot) for slot in slots]


SUBMITTED, POLLED, FETCHED = JobState.ACCEPTED, JobState.PROCESSING, JobState.FETCHING


@pytest.mark.parametrize(
    ("states", "order"),
    [
        ((POLLED, POLLED, POLLED, FETCHED), [3, 1, 2, 0]),
        ((SUBMITTED, SUBMITTED, POLLED), [2, 1, 0]),
        ((SUBMITTED, POLLED, FETCHED), [1, 2, 0]),
        ((FETCHED, FETCHED), [0, 1]),
        ((FETCHED, POLLED), [0, 1]),
        ((FETCHED, SUBMITTED), [0, 1]),
        ((POLLED, SUBMITTED), [0, 1]),
    ],
)
def test_a_result_goes_before_polls_and_they_before_submits(
    limited: App, clock: Clock, states: Sequence[JobState], order: list[int]
) -> None:
    """It takes the first slot of what matters less, which goes last: no slot is lost, and none is made."""
    tickets = _queued(limited, *states)
    assert _order(limited, tickets) == order
    assert sorted(drawn_slots(limited)) == [clock.time + each * slot_of(limited) for each in range(len(states))]


def test_who_gave_its_slot_away_waits_for_the_other(limited: App, clock: Clock) -> None:
    """Its message comes at the old time and goes round again; the sweep knows of the new one."""
    polled, _ = tickets = _queued(limited, POLLED, FETCHED)
    assert _order(limited, tickets) == [1, 0]
    assert execute(limited.services, Step.POLL, polled) == FollowUp(Step.POLL, polled, slot_of(limited))
    row = job_row(limited, polled)
    assert row["due_at"] == clock.time + slot_of(limited)
    assert row["sweep_at"] > row["due_at"]


def test_a_slot_that_was_left_behind_is_not_taken(limited: App, clock: Clock) -> None:
    """It is over, so it is in no minute to come."""
    (polled,) = _queued(limited, POLLED)
    clock.advance(2 * SECOND)
    (fetched,) = _queued(limited, FETCHED)
    assert job_row(limited, fetched)["slot_at"] == clock.time
    assert job_row(limited, polled)["slot_at"] == clock.time - 2 * SECOND


# Results


def test_a_result_follows_its_poll_where_nobody_waits_for_a_slot(budgeted: Budgeted, simulator: Simulator) -> None:
    """Its slot is drawn and counted before it is asked for: no message, and nobody has the job in between."""
    limited = budgeted(600)
    (ticket,) = add_submitted(limited, simulator)
    assert execute(limited.services, Step.POLL, ticket) is None
    row = job_row(limited, ticket)
    assert (row["state"], row["requests"]) == (JobState.SUCCEEDED, 2)
    assert counted_requests(limited) == {Kind.POLL: 1, Kind.FETCH: 1}


def test_a_result_waits_for_a_slot_that_is_not_due(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Nothing is drawn for it before its message comes, so that it goes before what matters less."""
    limited = budgeted(60)
    (ticket,) = add_submitted(limited, simulator)
    following = execute(limited.services, Step.POLL, ticket)
    assert following
    assert following.step is Step.FETCH
    assert counted_requests(limited) == {Kind.POLL: 1}
    drive(limited, clock, following)
    assert counted_requests(limited) == {Kind.POLL: 1, Kind.FETCH: 1}
    assert job_row(limited, ticket)["state"] == JobState.SUCCEEDED


def test_a_result_waits_for_its_message_where_nothing_can_be_drawn(
    budgeted: Budgeted, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the poll found is committed first, by whatever waits for the database."""
    limited = budgeted(600)
    (ticket,) = add_submitted(limited, simulator)
    monkeypatch.setattr(idle_slots, "use", Mock(side_effect=OperationalError("", {}, ConnectionError())))
    following = execute(limited.services, Step.POLL, ticket)
    assert following
    assert following.step is Step.FETCH
    assert job_row(limited, ticket)["state"] == JobState.FETCHING


def test_a_look_that_named_the_files_draws_no_more(budgeted: Budgeted, simulator: Simulator) -> None:
    """The vendor is asked no more, so nothing is drawn, and nobody is waited for."""
    limited = budgeted(60)
    alter_account(limited, single_look=True, single_look_at=now)
    fresh_terms(limited)
    (ticket,) = add_submitted(limited, simulator)
    assert execute(limited.services, Step.POLL, ticket) is None
    assert job_row(limited, ticket)["state"] == JobState.SUCCEEDED
    assert counted_requests(limited) == {Kind.POLL: 1}


# Submits


def test_a_submit_waits_as_a_row_where_many_requests_wait(limited: App, clock: Clock) -> None:
    """Nothing is drawn, no message follows, and the scheduler finds it."""
    queue = limited.services.outlook.terms().queue + 2 * SECOND
    alter_account(limited, next_slot_at=now + queue)
    (ticket,) = add_jobs(limited, 1, sweep_at=now + timedelta(minutes=1))
    assert execute(limited.services, Step.SUBMIT, ticket) is None
    row = job_row(limited, ticket)
    assert (row["slot_at"], row["sweep_at"], row["waits_for"]) == (None, clock.time, WAITS)
    assert (row["state"], row["requests"], row["attempts"]) == (JobState.ACCEPTED, 0, 0)
    assert account_row(limited)["next_slot_at"] == clock.time + queue
    assert counted_requests(limited) == {}


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.PROCESSING, JobState.SUCCEEDED])
def test_a_submit_waits_where_many_were_submitted_together(limited: App, clock: Clock, state: JobState) -> None:
    """Their polls fall on the same time; half a run later they do not, unless nobody knows when it began."""
    terms = limited.services.outlook.terms()
    assert terms.most_together == 2
    add_jobs(limited, 2, state, submitted_at=None if state is JobState.SUBMITTING else now)
    (ticket,) = add_jobs(limited, 1)
    assert execute(limited.services, Step.SUBMIT, ticket) is None
    assert _released(limited) == []
    clock.advance(terms.together)
    assert bool(_released(limited)) is (state is not JobState.SUBMITTING)


def test_a_refused_submit_sends_no_message_though_it_is_a_little_early(limited: App) -> None:
    """Within the slack it counts as due: it waits as a row, so its message would overtake."""
    alter_account(limited, next_slot_at=now + timedelta(minutes=1))
    (ticket,) = add_jobs(limited, 1, due_at=now + SECOND / 5, sweep_at=now + timedelta(minutes=1))
    assert execute(limited.services, Step.SUBMIT, ticket) is None


def test_a_burst_of_submits_does_not_go_together(limited: App) -> None:
    """Those that have a slot and wait for it count as well: their polls fall on the same time."""
    tickets = add_jobs(limited, 6, sweep_at=now + timedelta(minutes=1))
    for ticket in tickets:
        draw(limited.services, Step.SUBMIT, ticket)
    assert len(drawn_slots(limited)) == limited.services.outlook.terms().most_together


def test_submits_that_draw_at_the_same_time_do_not_go_together(limited: App, clock: Clock) -> None:
    """Each counts what the one before it, which it waited for, has drawn."""
    tickets = add_jobs(limited, 16, sweep_at=now + timedelta(minutes=1))
    most = limited.services.outlook.terms().most_together
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ticket: draw(limited.services, Step.SUBMIT, ticket), tickets))
    assert len(drawn_slots(limited)) == most


def test_a_new_request_does_not_overtake(limited: App, clock: Clock) -> None:
    """Where jobs wait as rows it becomes one of them."""
    (waiting,) = add_jobs(limited, 1, accepted_at=now - SECOND, waits_for=WAITS)
    assert send(limited) is None
    assert _released(limited)[0] == waiting
    clock.advance(timedelta(minutes=1))
    assert len(_released(limited)) == 2


def test_a_new_request_is_sent_at_once_where_nobody_waits(limited: App, simulator: Simulator) -> None:
    """As without a limit."""
    follow_up = send(limited)
    assert follow_up
    assert follow_up.delay == timedelta(0)
    following = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert following
    assert (following.step, count_calls(simulator, "submit")) == (Step.POLL, 1)


# Release


def test_release_goes_by_priority_then_age(budgeted: Budgeted) -> None:
    """The oldest of the most urgent ones first."""
    app = budgeted(600)
    (young,) = add_jobs(app, 1, accepted_at=now - SECOND)
    (old,) = add_jobs(app, 1, accepted_at=now - 2 * SECOND)
    (urgent,) = add_jobs(app, 1, accepted_at=now, priority=5)
    (idle,) = add_jobs(app, 1, accepted_at=now - 3 * SECOND, priority=-5)
    assert _released(app) == [urgent, old, young, idle]


@pytest.mark.parametrize("limit", [1, 6, 60, 100_000])
def test_release_sends_what_can_be_afforded(budgeted: Budgeted, clock: Clock, limit: int) -> None:
    """One at least, or none would ever go; what has a message is not sent again within the grace."""
    app = budgeted(limit)
    tickets = add_jobs(app, 40)
    released = _released(app)
    assert len(released) == min(app.services.outlook.terms().most_together, len(tickets))
    assert _released(app) == []
    clock.advance(app.services.settings.upkeep.sweep_grace)
    assert len(_released(app)) == len(released)


def test_release_counts_what_has_a_message(limited: App) -> None:
    """A new job's submit that is under way takes one of the places."""
    add_jobs(limited, 1, sweep_at=now + timedelta(minutes=1))
    add_jobs(limited, 20)
    assert len(_released(limited)) == limited.services.outlook.terms().most_together - 1


def test_a_job_that_is_to_be_tried_again_much_later_keeps_nobody_waiting(budgeted: Budgeted) -> None:
    """Its message comes in ten minutes: until then its place is free."""
    app = budgeted(6)
    later = now + timedelta(minutes=10)
    add_jobs(app, 1, due_at=later, sweep_at=later + timedelta(seconds=30), attempts=40)
    add_jobs(app, 3)
    assert len(_released(app)) == 1


def test_release_waits_for_the_queue(limited: App) -> None:
    """Where many requests have slots already, their turn comes first."""
    add_jobs(limited, 3)
    alter_account(limited, next_slot_at=now + limited.services.outlook.terms().queue + 2 * SECOND)
    assert _released(limited) == []


def test_release_leaves_a_held_account_alone(limited: App, clock: Clock) -> None:
    """And goes on when it is resumed."""
    add_jobs(limited, 1)
    with transaction(limited.services.engine) as connection:
        holding.hold(connection, "default", BY_A_PERSON, stops_reads=False)
    assert _released(limited) == []
    with transaction(limited.services.engine) as connection:
        holding.lift(connection, "default")
    assert len(_released(limited)) == 1


def test_release_leaves_a_closed_window_alone(limited: App, clock: Clock) -> None:
    """And goes on when it opens."""
    add_jobs(limited, 1)
    close_window(limited, 30 * SECOND)
    assert _released(limited) == []
    clock.advance(30 * SECOND)
    assert len(_released(limited)) == 1


def test_release_sends_nothing_that_is_early(limited: App) -> None:
    """A row may be due later than it is looked at."""
    add_jobs(limited, 1, due_at=now + SECOND)
    assert _released(limited) == []


def test_what_was_released_is_submitted(limited: App, simulator: Simulator) -> None:
    """Its message finds the row as it was."""
    add_jobs(limited, 1, state=JobState.REVIEW)
    alter_account(limited, next_slot_at=now + timedelta(minutes=1))
    follow_up = send(limited)
    assert follow_up
    assert execute(limited.services, Step.SUBMIT, follow_up.ticket) is None
    alter_account(limited, next_slot_at=None)
    (ticket,) = _released(limited)
    assert execute(limited.services, Step.SUBMIT, ticket)
    assert count_calls(simulator, "submit") == 1
    assert job_row(limited, ticket)["waits_for"] is None


def test_the_sweep_leaves_waiting_rows_alone(limited: App, clock: Clock) -> None:
    """Those are released; what else was left behind is swept."""
    add_jobs(limited, 3)
    (lost,) = add_jobs(limited, 1, JobState.PROCESSING, sweep_at=now)
    sent: list[FollowUp] = []
    make_scheduler(limited, sent).duties.sweep()
    assert [each.ticket for each in sent] == [lost]


# Whoever dies leaks nothing


def test_a_worker_that_dies_with_a_slot_leaks_nothing(limited: App, clock: Clock, simulator: Simulator) -> None:
    """The slot passes unused; the job draws another, with the message that comes again."""
    (ticket,) = add_submitted(limited, simulator)
    draw(limited.services, Step.POLL, ticket)
    clock.advance(timedelta(minutes=1))
    sent: list[FollowUp] = []
    make_scheduler(limited, sent).duties.sweep()
    assert [each.ticket for each in sent] == [ticket]
    execute(limited.services, Step.POLL, ticket)
    assert job_row(limited, ticket)["polls"] == 1
    assert account_row(limited)["next_slot_at"] == clock.time + slot_of(limited)


def test_jobs_that_end_free_their_places(limited: App, clock: Clock) -> None:
    """A submit that is under way counts as long as its row says so, and no longer."""
    first, second, third = add_jobs(limited, 3, sweep_at=now + timedelta(minutes=1))
    for ticket in (first, second):
        take(limited, Step.SUBMIT, ticket)
        clock.advance(2 * SECOND)
    assert load(limited.services, Step.SUBMIT, third) is None
    with transaction(limited.services.engine) as connection:
        assert cancel(connection, first.job_id)
    assert load(limited.services, Step.SUBMIT, third)


def test_a_cancelled_job_with_a_slot_stands_in_nobodys_way(limited: App, clock: Clock) -> None:
    """Its slot passes unused, and a result does not take it from a job that is over."""
    (polled,) = _queued(limited, POLLED)
    with transaction(limited.services.engine) as connection:
        assert cancel(connection, polled.job_id)
    (fetched,) = _queued(limited, FETCHED)
    assert job_row(limited, fetched)["slot_at"] == clock.time + slot_of(limited)
    assert job_row(limited, polled)["slot_at"] == clock.time


# Extremes


def test_a_learnt_limit_far_below_the_setting(budgeted: Budgeted, clock: Clock) -> None:
    """One request a minute, which rises by ten a minute: nothing divides by nothing, and it ends by itself."""
    app = budgeted(1000)
    alter_account(app, learnt_limit=1, learnt_at=now)
    assert fresh_terms(app).limit == 1
    add_jobs(app, 3)
    assert len(_released(app)) == 1
    clock.advance(timedelta(minutes=30))
    assert fresh_terms(app).limit == pytest.approx(301)


def test_a_setting_below_what_was_learnt_counts(budgeted: Budgeted, clock: Clock) -> None:
    """A person may know better."""
    app = budgeted(30)
    alter_account(app, learnt_limit=50, learnt_at=now)
    assert fresh_terms(app).limit == 30


def test_a_clock_that_was_turned_back_leaves_a_limit(limited: App, clock: Clock) -> None:
    """What was learnt in an hour to come is what is known."""
    alter_account(limited, learnt_limit=40, learnt_at=now)
    clock.advance(-timedelta(hours=2))
    assert fresh_terms(limited).limit == 40


def test_an_account_without_a_row_stops_nothing(limited: App) -> None:
    """What is asked of it is an error of the database, which every loop goes on after."""
    with transaction(limited.services.engine) as connection:
        connection.execute(accounts.delete())
    assert fresh_terms(limited).limit == 45
    draw(limited.services, Step.SUBMIT, Ticket(str(uuid4()), 1))
    with pytest.raises(DatabaseError):
        make_scheduler(limited, []).duties.release()
