"""The request budget that all workers share, against a real database and the simulator."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import func, insert, select, update
from structlog.testing import capture_logs

from worker import bulk, holding
from worker.app import App, create_app
from worker.budget import Kind, Terms
from worker.changes import Recorded
from worker.cli.budget import described
from worker.database import DatabaseError, transaction
from worker.errors import HoldCause
from worker.executor import draw, execute, load, record, run
from worker.intake import accept
from worker.job import Job
from worker.lifecycle import DRIVEN_BY, FollowUp, JobState, Step, Ticket
from worker.messages import derived_job_id
from worker.models import accounts, jobs, now, requests
from worker.outcome import Hold, Limited, decide
from worker.prepare import prepare_request
from worker.repository import budget
from worker.repository.budget import UNUSED, WAITS
from worker.repository.jobs import cancel
from worker.scheduler import Scheduler
from worker.simulator import Simulator
from worker.usage import exposition, usage

SECOND = timedelta(seconds=1)
RUN = timedelta(seconds=30)
RESET = "x-rate-limit-reset-at-utc"
BY_A_PERSON = Hold(HoldCause.OPERATOR, "Held by a person.")

Budgeted = Callable[..., App]


class Clock:
    """The database's clock, which stands still until it is told to go on."""

    def __init__(self, app: App) -> None:
        self._engine = app.services.engine
        self.time = datetime.now(UTC)
        self.advance(timedelta(0))

    def advance(self, by: timedelta) -> None:
        """Let time pass; a negative step turns it back."""
        self.time += by
        body = f"SELECT timestamptz '{self.time.isoformat()}'"
        with transaction(self._engine) as connection:
            connection.exec_driver_sql(
                f"CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE AS $${body}$$"
            )


@pytest.fixture
def clock(app: App) -> Clock:
    """Provide a clock that stands still."""
    return Clock(app)


@pytest.fixture
def budgeted(app: App) -> Iterator[Budgeted]:
    """Return what builds apps on the same database that have a limit; each has an engine of its own."""
    built: list[App] = []

    def build(limit: int = 60, **more: object) -> App:
        settings = {"sam3d_requests_per_minute": limit, "sam3d_reads_count": "yes", "sam3d_expected_run": RUN, **more}
        built.append(create_app(app.services.settings.model_copy(update=settings)))
        return built[-1]

    yield build
    for each in built:
        each.close()
        each.services.close()


@pytest.fixture
def limited(budgeted: Budgeted) -> App:
    """Provide an app with a limit of 60 requests a minute, which two submits can go together under."""
    return budgeted()


@cache
def _photo() -> bytes:
    image = Image.new("RGB", (48, 36), "white")
    image.paste((200, 30, 30), (15, 9, 33, 27))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _send(app: App, **fields: object) -> FollowUp | None:
    """Let a request come in."""
    return accept(app.services, prepare_request(_photo(), **fields), derived_job_id("test", uuid4().hex))


def _add(app: App, count: int, state: JobState = JobState.ACCEPTED, **values: object) -> list[Ticket]:
    """Add jobs that are due, as rows; those that are accepted wait for the scheduler unless told otherwise."""
    ids = [str(uuid4()) for _ in range(count)]
    later = {} if state is JobState.ACCEPTED else {"sweep_at": now + timedelta(minutes=1)}
    runs = {JobState.PROCESSING, JobState.FETCHING}
    with transaction(app.services.engine) as connection:
        for each in ids:
            request_id = each if state in runs else None
            row = {"id": each, "state": state, "fingerprint": "", "request_id": request_id, **later, **values}
            connection.execute(insert(jobs).values(row))
    return [Ticket(each, 1) for each in ids]


def _alter(app: App, ticket: Ticket, **values: object) -> None:
    with transaction(app.services.engine) as connection:
        connection.execute(update(jobs).where(jobs.c.id == ticket.job_id).values(values))


def _alter_account(app: App, **values: object) -> None:
    with transaction(app.services.engine) as connection:
        connection.execute(update(accounts).values(values))


def _account(app: App) -> Mapping[str, Any]:
    with transaction(app.services.engine) as connection:
        return dict(connection.execute(select(accounts)).mappings().one())


def _job(app: App, ticket: Ticket) -> Mapping[str, Any]:
    with transaction(app.services.engine) as connection:
        return dict(connection.execute(select(jobs).where(jobs.c.id == ticket.job_id)).mappings().one())


def _slots(app: App) -> list[datetime]:
    with transaction(app.services.engine) as connection:
        return list(connection.execute(select(jobs.c.slot_at).where(jobs.c.slot_at.is_not(None))).scalars())


def _counted(app: App) -> dict[str, int]:
    """Return how many requests of each kind were counted in all minutes."""
    query = select(requests.c.kind, func.sum(requests.c.count)).group_by(requests.c.kind)
    with transaction(app.services.engine) as connection:
        return {str(kind): int(count) for kind, count in connection.execute(query)}


def _fresh(app: App) -> Terms:
    """Return what a process goes by that has not asked for some seconds."""
    app.services.outlook._stale_at = 0
    return app.services.outlook.terms()


def _slot(app: App) -> timedelta:
    slot = app.services.outlook.terms().slot
    assert slot
    return slot


def _scheduler(app: App, sent: list[FollowUp]) -> Scheduler:
    def send(follow_up: FollowUp) -> bool:
        sent.append(follow_up)
        return True

    return Scheduler(app.services, send, dict)


def _released(app: App) -> list[Ticket]:
    """Let the scheduler release what it can, and return it in order."""
    sent: list[FollowUp] = []
    _scheduler(app, sent).release()
    assert {each.step for each in sent} <= {Step.SUBMIT}
    return [each.ticket for each in sent]


def _taken(app: App, step: Step, ticket: Ticket) -> Job:
    job = load(app.services, step, ticket)
    assert job
    return job


def _finish(app: App, step: Step, job: Job) -> Recorded:
    """Do the step of a job that was taken, and write what it learnt."""
    return record(app.services, job, decide(job.state, job.attempts, run(app.services, step, job)))


def _drive(app: App, clock: Clock, follow_up: FollowUp | None) -> None:
    """Do all that is left of a job, each message in its time."""
    while follow_up:
        clock.advance(follow_up.delay)
        follow_up = execute(app.services, follow_up.step, follow_up.ticket)


def _limit(simulator: Simulator, call: str, reset_at: datetime | None, count: int | None = None) -> None:
    """Let calls be answered with 429."""
    simulator.update(reset_header="missing")
    headers = {RESET: reset_at.isoformat()} if reset_at else {}
    simulator.add_fault(call=call, kind="status", http_status=429, headers=headers, count=count)


def _close(app: App, opens_in: timedelta, *, step: Step = Step.SUBMIT, learnt: float | None = None) -> None:
    with transaction(app.services.engine) as connection:
        budget.close(connection, "default", step, Limited(opens_in, is_told=True, learnt_limit=learnt))


def _calls(simulator: Simulator, call: str) -> int:
    return sum(simulator.requests()["calls"].get(call, {}).values())


# Without a limit


def test_without_a_limit_nothing_is_drawn_or_counted(app: App, clock: Clock, simulator: Simulator) -> None:
    """A job travels as it did before there was a budget."""
    _drive(app, clock, _send(app))
    assert _slots(app) == []
    assert _account(app)["next_slot_at"] is None
    assert _counted(app) == {}
    assert _calls(simulator, "submit") == 1


def test_without_a_limit_the_scheduler_releases_nothing(app: App) -> None:
    """A row whose message was lost is swept, as ever."""
    (ticket,) = _add(app, 1)
    assert _released(app) == []
    sent: list[FollowUp] = []
    _scheduler(app, sent).sweep()
    assert [each.ticket for each in sent] == [ticket]


def test_without_a_limit_a_closed_window_is_respected(app: App, clock: Clock, simulator: Simulator) -> None:
    """What the vendor said holds for every worker, though nothing is learnt of a limit that is not set."""
    first, second = _send(app), _send(app)
    assert first
    assert second
    _limit(simulator, "submit", clock.time + 20 * SECOND)
    execute(app.services, Step.SUBMIT, first.ticket)
    waits = execute(app.services, Step.SUBMIT, second.ticket)
    assert waits == FollowUp(Step.SUBMIT, second.ticket, 20 * SECOND)
    assert (_calls(simulator, "submit"), _account(app)["learnt_limit"]) == (1, None)


# Slots


@pytest.mark.parametrize("limit", [1, 60, 100_000])
def test_draws_are_a_slot_apart(budgeted: Budgeted, clock: Clock, limit: int) -> None:
    """The first is now, whatever the limit; what was not drawn before is not drawn later."""
    app = budgeted(limit)
    tickets = _add(app, 5, JobState.PROCESSING)
    for ticket in tickets:
        assert draw(app.services, Step.POLL, ticket)
    assert [_job(app, ticket)["slot_at"] for ticket in tickets] == [clock.time + each * _slot(app) for each in range(5)]
    assert _counted(app) == {Kind.POLL: 5}


def test_slots_that_nobody_drew_are_lost(limited: App, clock: Clock) -> None:
    """After a quiet hour requests are not made in a burst."""
    first, second = _add(limited, 2, JobState.PROCESSING)
    draw(limited.services, Step.POLL, first)
    clock.advance(timedelta(hours=1))
    draw(limited.services, Step.POLL, second)
    assert _job(limited, second)["slot_at"] == clock.time
    assert _account(limited)["next_slot_at"] == clock.time + _slot(limited)


def test_no_two_workers_draw_the_same_slot(budgeted: Budgeted) -> None:
    """However many draw at the same time, from two processes, results before polls."""
    apps = budgeted(600), budgeted(600)
    polls, results = (_add(apps[0], 40, state) for state in (JobState.PROCESSING, JobState.FETCHING))

    def work(number: int) -> None:
        draw(apps[number % 2].services, Step.POLL, polls[number])
        draw(apps[number % 2].services, Step.FETCH, results[number])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    slots = sorted(_slots(apps[0]))
    assert len(slots) == 80
    assert min(later - earlier for earlier, later in pairwise(slots)) == _slot(apps[0])
    assert _counted(apps[0]) == {Kind.POLL: 40, Kind.FETCH: 40}


def test_all_steps_of_a_job_draw_from_the_same_budget(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Each request is drawn and counted once; the download of the file is none."""
    app = budgeted(600)
    _drive(app, clock, _send(app))
    assert _counted(app) == {Kind.SUBMIT: 1, Kind.POLL: 1, Kind.FETCH: 1}
    assert simulator.requests()["total"] == 4


def test_a_second_message_keeps_the_slot(limited: App, clock: Clock) -> None:
    """It waits for the same time, and what comes first uses the slot; for the other nothing is left."""
    _alter_account(limited, next_slot_at=now + 3 * SECOND)
    (ticket,) = _add(limited, 1, JobState.PROCESSING)
    waits = [execute(limited.services, Step.POLL, ticket) for _ in range(2)]
    assert waits == [FollowUp(Step.POLL, ticket, 3 * SECOND)] * 2
    clock.advance(3 * SECOND)
    assert load(limited.services, Step.POLL, ticket)
    assert execute(limited.services, Step.POLL, ticket) is None
    row = _job(limited, ticket)
    assert (row["slot_at"], row["requests"]) == (None, 1)
    assert _counted(limited) == {Kind.POLL: 1}


@pytest.mark.parametrize(("late", "drawn"), [(UNUSED, 1), (UNUSED + SECOND / 10, 2)])
def test_a_slot_that_was_not_used_is_drawn_anew(limited: App, clock: Clock, late: timedelta, drawn: int) -> None:
    """Its minute is over, or soon; a message that is a little late may use it still."""
    (ticket,) = _add(limited, 1, JobState.PROCESSING)
    draw(limited.services, Step.POLL, ticket)
    clock.advance(late)
    assert load(limited.services, Step.POLL, ticket)
    assert _counted(limited) == {Kind.POLL: drawn}


def test_a_stale_ticket_draws_nothing(limited: App) -> None:
    """Nor does one of another step, one that is early, or one whose job a worker has."""
    (polled,) = _add(limited, 1, JobState.PROCESSING)
    (early,) = _add(limited, 1, JobState.PROCESSING, due_at=now + SECOND)
    draw(limited.services, Step.POLL, Ticket(polled.job_id, 2))
    draw(limited.services, Step.POLL, Ticket(str(uuid4()), 1))
    draw(limited.services, Step.FETCH, polled)
    draw(limited.services, Step.POLL, early)
    assert _account(limited)["next_slot_at"] is None
    _taken(limited, Step.POLL, polled)
    draw(limited.services, Step.POLL, polled)
    assert _counted(limited) == {Kind.POLL: 1}


def test_a_request_waits_for_its_slot(limited: App) -> None:
    """A slot to come is a time to come back, whatever the request is for."""
    for state in (JobState.PROCESSING, JobState.FETCHING, JobState.ACCEPTED):
        _alter_account(limited, next_slot_at=now + 2 * SECOND)
        (ticket,) = _add(limited, 1, state)
        step = DRIVEN_BY[state]
        assert step
        waits = execute(limited.services, step, ticket)
        assert waits
        assert SECOND < waits.delay <= 2 * SECOND
        _alter(limited, ticket, slot_at=None)


def _queued(app: App, *states: JobState) -> list[Ticket]:
    """Let jobs draw slots one after another, each with a message under way."""
    tickets = []
    for state in states:
        tickets += _add(app, 1, state, sweep_at=now + timedelta(minutes=1))
        step = DRIVEN_BY[state]
        assert step
        draw(app.services, step, tickets[-1])
    return tickets


def _order(app: App, tickets: Sequence[Ticket]) -> list[int]:
    """Return the places of some jobs in the order of their slots."""
    slots = [_job(app, each)["slot_at"] for each in tickets]
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
    assert sorted(_slots(limited)) == [clock.time + each * _slot(limited) for each in range(len(states))]


def test_who_gave_its_slot_away_waits_for_the_other(limited: App, clock: Clock) -> None:
    """Its message comes at the old time and goes round again; the sweep knows of the new one."""
    polled, _ = tickets = _queued(limited, POLLED, FETCHED)
    assert _order(limited, tickets) == [1, 0]
    assert execute(limited.services, Step.POLL, polled) == FollowUp(Step.POLL, polled, _slot(limited))
    row = _job(limited, polled)
    assert row["due_at"] == clock.time + _slot(limited)
    assert row["sweep_at"] > row["due_at"]


def test_a_slot_that_was_left_behind_is_not_taken(limited: App, clock: Clock) -> None:
    """It is over, so it is in no minute to come."""
    (polled,) = _queued(limited, POLLED)
    clock.advance(2 * SECOND)
    (fetched,) = _queued(limited, FETCHED)
    assert _job(limited, fetched)["slot_at"] == clock.time
    assert _job(limited, polled)["slot_at"] == clock.time - 2 * SECOND


# Submits


def test_a_submit_waits_as_a_row_where_many_requests_wait(limited: App, clock: Clock) -> None:
    """Nothing is drawn, no message follows, and the scheduler finds it."""
    queue = limited.services.outlook.terms().queue + 2 * SECOND
    _alter_account(limited, next_slot_at=now + queue)
    (ticket,) = _add(limited, 1, sweep_at=now + timedelta(minutes=1))
    assert execute(limited.services, Step.SUBMIT, ticket) is None
    row = _job(limited, ticket)
    assert (row["slot_at"], row["sweep_at"], row["waits_for"]) == (None, clock.time, WAITS)
    assert (row["state"], row["requests"], row["attempts"]) == (JobState.ACCEPTED, 0, 0)
    assert _account(limited)["next_slot_at"] == clock.time + queue
    assert _counted(limited) == {}


@pytest.mark.parametrize("state", [JobState.SUBMITTING, JobState.PROCESSING, JobState.SUCCEEDED])
def test_a_submit_waits_where_many_were_submitted_together(limited: App, clock: Clock, state: JobState) -> None:
    """Their polls fall on the same time; half a run later they do not, unless nobody knows when it began."""
    terms = limited.services.outlook.terms()
    assert terms.most_together == 2
    _add(limited, 2, state, submitted_at=None if state is JobState.SUBMITTING else now)
    (ticket,) = _add(limited, 1)
    assert execute(limited.services, Step.SUBMIT, ticket) is None
    assert _released(limited) == []
    clock.advance(terms.together)
    assert bool(_released(limited)) is (state is not JobState.SUBMITTING)


def test_a_refused_submit_sends_no_message_though_it_is_a_little_early(limited: App) -> None:
    """Within the slack it counts as due: it waits as a row, so its message would overtake."""
    _alter_account(limited, next_slot_at=now + timedelta(minutes=1))
    (ticket,) = _add(limited, 1, due_at=now + SECOND / 5, sweep_at=now + timedelta(minutes=1))
    assert execute(limited.services, Step.SUBMIT, ticket) is None


def test_a_burst_of_submits_does_not_go_together(limited: App) -> None:
    """Those that have a slot and wait for it count as well: their polls fall on the same time."""
    tickets = _add(limited, 6, sweep_at=now + timedelta(minutes=1))
    for ticket in tickets:
        draw(limited.services, Step.SUBMIT, ticket)
    assert len(_slots(limited)) == limited.services.outlook.terms().most_together


def test_submits_that_draw_at_the_same_time_do_not_go_together(limited: App, clock: Clock) -> None:
    """Each counts what the one before it, which it waited for, has drawn."""
    tickets = _add(limited, 16, sweep_at=now + timedelta(minutes=1))
    most = limited.services.outlook.terms().most_together
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ticket: draw(limited.services, Step.SUBMIT, ticket), tickets))
    assert len(_slots(limited)) == most


def test_a_new_request_does_not_overtake(limited: App, clock: Clock) -> None:
    """Where jobs wait as rows it becomes one of them."""
    (waiting,) = _add(limited, 1, accepted_at=now - SECOND)
    assert _send(limited) is None
    assert _released(limited)[0] == waiting
    clock.advance(timedelta(minutes=1))
    assert len(_released(limited)) == 2


def test_a_new_request_is_sent_at_once_where_nobody_waits(limited: App, simulator: Simulator) -> None:
    """As without a limit."""
    follow_up = _send(limited)
    assert follow_up
    assert follow_up.delay == timedelta(0)
    following = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert following
    assert (following.step, _calls(simulator, "submit")) == (Step.POLL, 1)


# Release


def test_release_goes_by_priority_then_age(budgeted: Budgeted) -> None:
    """The oldest of the most urgent ones first."""
    app = budgeted(600)
    (young,) = _add(app, 1, accepted_at=now - SECOND)
    (old,) = _add(app, 1, accepted_at=now - 2 * SECOND)
    (urgent,) = _add(app, 1, accepted_at=now, priority=5)
    (idle,) = _add(app, 1, accepted_at=now - 3 * SECOND, priority=-5)
    assert _released(app) == [urgent, old, young, idle]


@pytest.mark.parametrize("limit", [1, 6, 60, 100_000])
def test_release_sends_what_can_be_afforded(budgeted: Budgeted, clock: Clock, limit: int) -> None:
    """One at least, or none would ever go; what has a message is not sent again within the grace."""
    app = budgeted(limit)
    tickets = _add(app, 40)
    released = _released(app)
    assert len(released) == min(app.services.outlook.terms().most_together, len(tickets))
    assert _released(app) == []
    clock.advance(app.services.settings.sam3d_sweep_grace)
    assert len(_released(app)) == len(released)


def test_release_counts_what_has_a_message(limited: App) -> None:
    """A new job's submit that is under way takes one of the places."""
    _add(limited, 1, sweep_at=now + timedelta(minutes=1))
    _add(limited, 20)
    assert len(_released(limited)) == limited.services.outlook.terms().most_together - 1


def test_a_job_that_is_to_be_tried_again_much_later_keeps_nobody_waiting(budgeted: Budgeted) -> None:
    """Its message comes in ten minutes: until then its place is free."""
    app = budgeted(6)
    later = now + timedelta(minutes=10)
    _add(app, 1, due_at=later, sweep_at=later + timedelta(seconds=30), attempts=40)
    _add(app, 3)
    assert len(_released(app)) == 1


def test_release_waits_for_the_queue(limited: App) -> None:
    """Where many requests have slots already, their turn comes first."""
    _add(limited, 3)
    _alter_account(limited, next_slot_at=now + limited.services.outlook.terms().queue + 2 * SECOND)
    assert _released(limited) == []


def test_release_leaves_a_held_account_alone(limited: App, clock: Clock) -> None:
    """And goes on when it is resumed."""
    _add(limited, 1)
    with transaction(limited.services.engine) as connection:
        holding.hold(connection, "default", BY_A_PERSON, stops_reads=False)
    assert _released(limited) == []
    with transaction(limited.services.engine) as connection:
        holding.resume(connection, "default")
    assert len(_released(limited)) == 1


def test_release_leaves_a_closed_window_alone(limited: App, clock: Clock) -> None:
    """And goes on when it opens."""
    _add(limited, 1)
    _close(limited, 30 * SECOND)
    assert _released(limited) == []
    clock.advance(30 * SECOND)
    assert len(_released(limited)) == 1


def test_release_sends_nothing_that_is_early(limited: App) -> None:
    """A row may be due later than it is looked at."""
    _add(limited, 1, due_at=now + SECOND)
    assert _released(limited) == []


def test_what_was_released_is_submitted(limited: App, simulator: Simulator) -> None:
    """Its message finds the row as it was."""
    _add(limited, 1, state=JobState.REVIEW)
    _alter_account(limited, next_slot_at=now + timedelta(minutes=1))
    follow_up = _send(limited)
    assert follow_up
    assert execute(limited.services, Step.SUBMIT, follow_up.ticket) is None
    _alter_account(limited, next_slot_at=None)
    (ticket,) = _released(limited)
    assert execute(limited.services, Step.SUBMIT, ticket)
    assert _calls(simulator, "submit") == 1
    assert _job(limited, ticket)["waits_for"] is None


def test_the_sweep_leaves_waiting_rows_alone(limited: App, clock: Clock) -> None:
    """Those are released; what else was left behind is swept."""
    _add(limited, 3)
    (lost,) = _add(limited, 1, JobState.PROCESSING, sweep_at=now)
    sent: list[FollowUp] = []
    _scheduler(limited, sent).sweep()
    assert [each.ticket for each in sent] == [lost]


# The window closes


@pytest.mark.parametrize("form", ["iso", "epoch", "missing", "nonsense"])
def test_a_429_closes_the_window(limited: App, clock: Clock, simulator: Simulator, form: str) -> None:
    """Until the end of the vendor's minute, where it is named; else for a minute. No attempt is used up."""
    simulator.update(reset_header=form, requests_per_minute=0)
    follow_up = _send(limited)
    assert follow_up
    again = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert again
    account, row = _account(limited), _job(limited, follow_up.ticket)
    closed_for = account["closed_until"] - clock.time
    assert again.delay == closed_for
    is_told = form in {"iso", "epoch"}
    assert (account["closed_at"] is not None) is is_told
    assert closed_for == SECOND or account["closed_until"].second == 0 if is_told else closed_for == 60 * SECOND
    assert (row["state"], row["attempts"], row["waits_for"]) == (JobState.ACCEPTED, 0, "the vendor's request limit")
    assert 30 <= account["learnt_limit"] <= 54
    assert _counted(limited) == {Kind.SUBMIT: 1, Kind.LIMITED: 1}


def test_the_limit_is_lowered_once(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """However many requests were under way, and whichever process made them: 120 set, 60 allowed."""
    apps = budgeted(120), budgeted(120)
    taken = []
    for app in apps:
        follow_up = _send(app)
        assert follow_up
        taken.append((app, _taken(app, Step.SUBMIT, follow_up.ticket)))
        clock.advance(SECOND)
    _limit(simulator, "submit", taken[0][1].observed_at + 30 * SECOND)
    for app, job in taken:
        assert _finish(app, Step.SUBMIT, job).version
    assert _account(apps[0])["learnt_limit"] == 60
    assert _counted(apps[0])[Kind.LIMITED] == 2
    assert [_fresh(app).limit for app in apps] == [60, 60]
    clock.advance(timedelta(minutes=10))
    assert _fresh(apps[0]).limit == pytest.approx(72)
    clock.advance(timedelta(hours=10))
    assert _fresh(apps[0]).limit == 120


def test_a_limit_that_is_used_up_again_is_lowered_again(limited: App, clock: Clock) -> None:
    """After the window opened, each closure counts."""
    _close(limited, 30 * SECOND, learnt=30)
    _close(limited, 40 * SECOND, learnt=20)
    assert _account(limited)["learnt_limit"] == 30
    assert _account(limited)["closed_until"] == clock.time + 40 * SECOND
    clock.advance(40 * SECOND)
    _close(limited, 5 * SECOND, learnt=20)
    assert _account(limited)["learnt_limit"] == 20


def test_a_submit_waits_for_the_window(limited: App, clock: Clock, simulator: Simulator) -> None:
    """It comes back when it opens, having drawn nothing meanwhile; then it goes."""
    follow_up = _send(limited)
    assert follow_up
    _close(limited, 25 * SECOND)
    waits = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert waits == FollowUp(Step.SUBMIT, follow_up.ticket, 25 * SECOND)
    assert _account(limited)["next_slot_at"] is None
    clock.advance(25 * SECOND)
    following = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert following
    assert (following.step, _calls(simulator, "submit")) == (Step.POLL, 1)


def test_a_slot_is_not_used_while_the_window_is_closed(limited: App, clock: Clock) -> None:
    """It was drawn before, and is drawn anew when it opens: the burst that was under way is spread again."""
    (ticket,) = _add(limited, 1)
    draw(limited.services, Step.SUBMIT, ticket)
    _close(limited, 25 * SECOND)
    assert load(limited.services, Step.SUBMIT, ticket) is None
    clock.advance(25 * SECOND)
    assert load(limited.services, Step.SUBMIT, ticket)
    assert _counted(limited) == {Kind.SUBMIT: 2, Kind.LIMITED: 1}


def _submitted(app: App, simulator: Simulator, count: int = 1, **values: object) -> list[Ticket]:
    """Add jobs that the vendor has, submitted ten seconds ago."""
    image = prepare_request(_photo())["image"]
    began = {"submitted_at": now - 10 * SECOND, **values}
    runs = [app.services.vendor.submit({"image": image}).request_id for _ in range(count)]
    return [_add(app, 1, JobState.PROCESSING, **{"request_id": each, **began})[0] for each in runs]


def test_polls_go_on_while_submits_wait(budgeted: Budgeted, simulator: Simulator) -> None:
    """Whether they count is not known yet."""
    app = budgeted(sam3d_reads_count="auto")
    (ticket,) = _submitted(app, simulator)
    _close(app, 25 * SECOND)
    following = execute(app.services, Step.POLL, ticket)
    assert following
    assert following.step is Step.FETCH


def test_a_429_to_a_poll_closes_reads_as_well(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """It shows that reads count; the poll is not counted as one, nor as an attempt."""
    app = budgeted(sam3d_reads_count="auto")
    first, second = _submitted(app, simulator, 2)
    (fetched,) = _add(app, 1, JobState.FETCHING)
    _limit(simulator, "status", clock.time + 30 * SECOND, count=1)
    again = execute(app.services, Step.POLL, first)
    assert again == FollowUp(Step.POLL, Ticket(first.job_id, 3), 30 * SECOND)
    account, row = _account(app), _job(app, first)
    assert (account["reads_count"], account["closes_reads"], account["learnt_limit"]) == (True, True, 30)
    assert (row["polls"], row["attempts"], row["requests"]) == (0, 0, 1)
    assert execute(app.services, Step.POLL, second) == FollowUp(Step.POLL, second, 30 * SECOND)
    assert execute(app.services, Step.FETCH, fetched) == FollowUp(Step.FETCH, fetched, 30 * SECOND)
    assert _fresh(app).reads_count is True


def test_where_reads_count_a_429_to_a_submit_closes_them(limited: App, simulator: Simulator) -> None:
    """What was learnt once is not tried again."""
    _alter_account(limited, reads_count=True)
    (ticket,) = _submitted(limited, simulator)
    _close(limited, 25 * SECOND)
    assert load(limited.services, Step.POLL, ticket) is None


def test_a_read_that_is_answered_meanwhile_shows_that_reads_are_free(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """From then on they draw nothing; a 429 to one corrects it."""
    app = budgeted(sam3d_reads_count="auto")
    first, second, third = _submitted(app, simulator, 3)
    assert _fresh(app).reads_count is True
    _close(app, 30 * SECOND)
    clock.advance(SECOND)
    assert execute(app.services, Step.POLL, first)
    assert _account(app)["reads_count"] is False
    assert _fresh(app).reads_count is False
    assert execute(app.services, Step.POLL, second)
    assert _counted(app) == {Kind.POLL: 1, Kind.LIMITED: 1}
    _limit(simulator, "status", clock.time + 30 * SECOND)
    execute(app.services, Step.POLL, third)
    assert _fresh(app).reads_count is True


def test_nothing_is_learnt_of_reads_where_the_end_was_guessed(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """The vendor's window may have opened long ago."""
    app = budgeted(sam3d_reads_count="auto")
    (ticket,) = _submitted(app, simulator)
    follow_up = _send(app)
    assert follow_up
    _limit(simulator, "submit", None)
    execute(app.services, Step.SUBMIT, follow_up.ticket)
    clock.advance(2 * SECOND)
    assert execute(app.services, Step.POLL, ticket)
    assert _account(app)["reads_count"] is None


def test_nothing_is_learnt_of_a_read_that_was_made_before(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """It was answered while the window was closed, but it was counted in the one before."""
    app = budgeted(sam3d_reads_count="auto")
    (ticket,) = _submitted(app, simulator)
    job = _taken(app, Step.POLL, ticket)
    clock.advance(SECOND)
    _close(app, 30 * SECOND)
    clock.advance(SECOND)
    assert _finish(app, Step.POLL, job).version
    assert _account(app)["reads_count"] is None


def test_nothing_is_learnt_of_reads_once_the_vendor_has_opened(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """A reset that is over by our clock closes for a second, in which the vendor counts anew."""
    app = budgeted(sam3d_reads_count="auto")
    (ticket,) = _submitted(app, simulator)
    follow_up = _send(app)
    assert follow_up
    _limit(simulator, "submit", clock.time - 2 * SECOND)
    execute(app.services, Step.SUBMIT, follow_up.ticket)
    clock.advance(SECOND / 2)
    _alter(app, ticket, slot_at=now)
    assert execute(app.services, Step.POLL, ticket)
    assert _account(app)["reads_count"] is None


def test_draws_and_closures_at_the_same_time(budgeted: Budgeted) -> None:
    """No deadlock, no slot twice, and each is counted once."""
    app = budgeted(6000)
    tickets = _add(app, 40, JobState.PROCESSING)

    def work(number: int) -> None:
        draw(app.services, Step.POLL, tickets[number])
        if number % 4 == 0:
            _close(app, timedelta(minutes=1), step=Step.POLL, learnt=1000 + number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    slots, counted = _slots(app), _counted(app)
    assert len(set(slots)) == len(slots) == counted[Kind.POLL] < 40
    assert counted[Kind.LIMITED] == 10
    assert all(load(app.services, Step.POLL, ticket) is None for ticket in tickets[:4])


# Whoever dies leaks nothing


def test_a_worker_that_dies_with_a_slot_leaks_nothing(limited: App, clock: Clock, simulator: Simulator) -> None:
    """The slot passes unused; the job draws another, with the message that comes again."""
    (ticket,) = _submitted(limited, simulator)
    draw(limited.services, Step.POLL, ticket)
    clock.advance(timedelta(minutes=1))
    sent: list[FollowUp] = []
    _scheduler(limited, sent).sweep()
    assert [each.ticket for each in sent] == [ticket]
    assert execute(limited.services, Step.POLL, ticket)
    assert _account(limited)["next_slot_at"] == clock.time + _slot(limited)


def test_jobs_that_end_free_their_places(limited: App, clock: Clock) -> None:
    """A submit that is under way counts as long as its row says so, and no longer."""
    first, second, third = _add(limited, 3, sweep_at=now + timedelta(minutes=1))
    for ticket in (first, second):
        _taken(limited, Step.SUBMIT, ticket)
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
    assert _job(limited, fetched)["slot_at"] == clock.time + _slot(limited)
    assert _job(limited, polled)["slot_at"] == clock.time


# Extremes


def test_a_learnt_limit_far_below_the_setting(budgeted: Budgeted, clock: Clock) -> None:
    """One request a minute, which rises by ten a minute: nothing divides by nothing, and it ends by itself."""
    app = budgeted(1000)
    _alter_account(app, learnt_limit=1, learnt_at=now)
    assert _fresh(app).limit == 1
    _add(app, 3)
    assert len(_released(app)) == 1
    clock.advance(timedelta(minutes=30))
    assert _fresh(app).limit == pytest.approx(301)


def test_a_setting_below_what_was_learnt_counts(budgeted: Budgeted, clock: Clock) -> None:
    """A person may know better."""
    app = budgeted(30)
    _alter_account(app, learnt_limit=50, learnt_at=now)
    assert _fresh(app).limit == 30


def test_a_clock_that_was_turned_back_leaves_a_limit(limited: App, clock: Clock) -> None:
    """What was learnt in an hour to come is what is known."""
    _alter_account(limited, learnt_limit=40, learnt_at=now)
    clock.advance(-timedelta(hours=2))
    assert _fresh(limited).limit == 40


def test_an_account_without_a_row_stops_nothing(limited: App) -> None:
    """What is asked of it is an error of the database, which every loop goes on after."""
    with transaction(limited.services.engine) as connection:
        connection.execute(accounts.delete())
    assert _fresh(limited).limit == 60
    draw(limited.services, Step.SUBMIT, Ticket(str(uuid4()), 1))
    with pytest.raises(DatabaseError):
        _scheduler(limited, []).release()


# What it was used for


def test_a_probe_of_a_held_account_is_charged(limited: App, simulator: Simulator, clock: Clock) -> None:
    """It can't wait, so others wait for it."""
    simulator.update(credits=0)
    follow_up = _send(limited)
    assert follow_up
    execute(limited.services, Step.SUBMIT, follow_up.ticket)
    _alter_account(limited, probed_at=now - timedelta(minutes=2))
    before = _account(limited)["next_slot_at"]
    _scheduler(limited, []).probe()
    assert _account(limited)["next_slot_at"] == before + _slot(limited)
    assert _counted(limited) == {Kind.SUBMIT: 1, Kind.PROBE: 1}
    assert _calls(simulator, "credits") == 1


def test_old_minutes_are_forgotten(limited: App, clock: Clock) -> None:
    """A day later, and no sooner."""
    with transaction(limited.services.engine) as connection:
        budget.count(connection, "default", Kind.POLL)
    clock.advance(timedelta(hours=23))
    with transaction(limited.services.engine) as connection:
        budget.count(connection, "default", Kind.FETCH)
    _scheduler(limited, []).prune()
    assert _counted(limited) == {Kind.POLL: 1, Kind.FETCH: 1}
    clock.advance(timedelta(hours=2))
    _scheduler(limited, []).prune()
    assert _counted(limited) == {Kind.FETCH: 1}


def test_requests_are_what_the_vendor_saw(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Job by job, also where a status was no end and where a read failed."""
    app = budgeted(600)
    simulator.add_fault(call="status", kind="unknown_status", count=2)
    simulator.add_fault(call="result", kind="status", http_status=502, count=1)
    for _ in range(3):
        _drive(app, clock, _send(app))
    log = simulator.requests(with_log=True)["log"]
    # A read that goes wrong is logged under the run of its address as well.
    seen = Counter(each["request_id"] for each in log if each["call"] in {"submit", "status", "result"})
    with transaction(app.services.engine) as connection:
        rows = connection.execute(select(jobs.c.request_id, jobs.c.requests, jobs.c.polls)).all()
    assert {row.request_id: row.requests for row in rows} == dict(seen)
    found = usage(app.services)
    hour = {each.kind: each.last_hour for each in found.used}
    assert hour == {Kind.SUBMIT: 3, Kind.POLL: 5, Kind.FETCH: 4, Kind.PROBE: 0, Kind.LIMITED: 0}
    assert (found.carried.finished, found.carried.waiting, found.carried.in_flight) == (3, 0, 0)
    assert found.carried.requests_per_job == pytest.approx(4)
    assert found.carried.polls_per_job == pytest.approx(5 / 3)


def test_usage_tells_the_last_whole_minute(limited: App, clock: Clock) -> None:
    """And the last hour, which ends now."""
    for ticket in _add(limited, 3, JobState.PROCESSING):
        draw(limited.services, Step.POLL, ticket)

    def polls() -> tuple[int, int]:
        (found,) = (each for each in usage(limited.services).used if each.kind is Kind.POLL)
        return found.last_minute, found.last_hour

    told = [polls()]
    for step in (timedelta(minutes=1), timedelta(minutes=1), timedelta(hours=1)):
        clock.advance(step)
        told.append(polls())
    assert told == [(0, 3), (3, 3), (0, 3), (0, 0)]


def test_a_new_job_is_told_how_long_it_waits(limited: App, clock: Clock) -> None:
    """Each job before it takes the slots of its requests; while the window is closed, until it opens at least."""
    terms = limited.services.outlook.terms()
    assert usage(limited.services).expected_wait == timedelta(0)
    _close(limited, 30 * SECOND)
    assert usage(limited.services).expected_wait == 30 * SECOND
    _add(limited, 10)
    assert usage(limited.services).expected_wait == 10 * terms.requests * _slot(limited)


def test_metrics_and_command_tell_the_same(limited: App, clock: Clock) -> None:
    """In the text that Prometheus reads, each figure once."""
    _add(limited, 4)
    _add(limited, 2, JobState.PROCESSING)
    _add(limited, 3, JobState.SUCCEEDED, submitted_at=now - timedelta(hours=1), requests=5, polls=3)
    _close(limited, 150 * SECOND, learnt=40)
    clock.advance(timedelta(minutes=1))
    _fresh(limited)
    found = usage(limited.services)
    told, shown = _samples(exposition(found)), described(found, 60)
    kinds = {each["kind"]: each["last_minute"] for each in shown["used"]}
    assert {kind: told.pop(("sam3d_requests_last_minute", kind)) for kind in Kind} == kinds
    assert kinds[Kind.LIMITED] == 1
    same = {
        "request_limit": "limit_now",
        "request_limit_closed_seconds": "closed_seconds",
        "requests_per_job": "requests_per_job",
        "polls_per_job": "polls_per_job",
        "jobs_waiting": "jobs_waiting",
        "jobs_in_flight": "jobs_in_flight",
        "expected_wait_seconds": "expected_wait_seconds",
    }
    assert told == {(f"sam3d_{name}", None): pytest.approx(shown[key]) for name, key in same.items()}
    assert (shown["limit_now"], shown["closed_seconds"], shown["jobs_waiting"]) == (pytest.approx(40.6), 90, 4)


def test_metrics_without_a_limit_or_a_job_leave_out_what_nobody_knows(app: App) -> None:
    """A figure that is not there is not nothing."""
    told = _samples(exposition(usage(app.services)))
    assert {name for name, kind in told if kind is None} == {
        "sam3d_request_limit_closed_seconds",
        "sam3d_jobs_waiting",
        "sam3d_jobs_in_flight",
        "sam3d_expected_wait_seconds",
    }
    assert set(told.values()) == {0}


def _samples(text: bytes) -> dict[tuple[str, str | None], float]:
    """Read an exposition: each sample by its name and kind."""
    families = text_string_to_metric_families(text.decode())
    samples = [each for family in families for each in family.samples]
    assert all(each.labels["account"] == "default" for each in samples)
    read = {(each.name, each.labels.get("kind")): each.value for each in samples}
    assert len(read) == len(samples)
    return read


# Many runs at once


SOON = {"due_at": now + 3 * SECOND}


def _runs(app: App, simulator: Simulator, count: int, **settings: object) -> list[Ticket]:
    """Start runs, of which the vendor makes what is said, and whose polls are due soon."""
    simulator.update(**{"run_time": 0, "fail_share": 0, **settings})
    return _submitted(app, simulator, count, **SOON)


def test_one_page_takes_the_place_of_many_polls(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """What is over is fetched, what runs is looked at later; what failed, or is not listed, is polled."""
    app = budgeted(sam3d_bulk_look="on")
    over, running = _runs(app, simulator, 4), _runs(app, simulator, 4, run_time=900)
    failed, unlisted = _runs(app, simulator, 2, fail_share=1), _add(app, 2, JobState.PROCESSING, **SOON)
    sent: list[FollowUp] = []
    _scheduler(app, sent).look()
    assert _calls(simulator, "history") == 1
    assert _calls(simulator, "status") == 0
    assert {each.ticket.job_id for each in sent if each.step is Step.FETCH} == {each.job_id for each in over}
    assert {each.ticket.job_id for each in sent if each.step is Step.POLL} == {each.job_id for each in running}
    for ticket in over:
        assert _job(app, ticket)["state"] == JobState.FETCHING
    for ticket in running:
        row = _job(app, ticket)
        assert (row["state"], row["polls"], row["requests"]) == (JobState.PROCESSING, 0, 0)
        assert row["due_at"] > clock.time + bulk.SOON
        assert row["running_at"] == clock.time
    for ticket in failed + unlisted:
        row = _job(app, ticket)
        assert (row["state"], row["version"], row["due_at"]) == (JobState.PROCESSING, 1, clock.time + 3 * SECOND)
    assert _counted(app) == {}


def test_what_was_settled_is_fetched(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Ten jobs without a single poll; a poll's message that is under way is stale."""
    app = budgeted(600, sam3d_bulk_look="on")
    tickets = _runs(app, simulator, 10)
    sent: list[FollowUp] = []
    _scheduler(app, sent).look()
    for each in sent:
        _drive(app, clock, each)
    clock.advance(3 * SECOND)
    assert [execute(app.services, Step.POLL, ticket) for ticket in tickets] == [None] * 10
    assert {_job(app, ticket)["state"] for ticket in tickets} == {JobState.SUCCEEDED}
    assert (_calls(simulator, "status"), _calls(simulator, "result")) == (0, 10)


@pytest.mark.parametrize(("count", "setting"), [(bulk.LEAST - 1, "on"), (bulk.LEAST, "off")])
def test_few_runs_are_polled(budgeted: Budgeted, simulator: Simulator, count: int, setting: str) -> None:
    """A page is larger than a few polls; and nothing is asked for where it is not wanted."""
    app = budgeted(sam3d_bulk_look=setting)
    _runs(app, simulator, count)
    sent: list[FollowUp] = []
    _scheduler(app, sent).look()
    assert (sent, _calls(simulator, "history")) == ([], 0)


def test_runs_whose_polls_are_far_or_taken_are_left_alone(budgeted: Budgeted, simulator: Simulator) -> None:
    """Only what is due soon counts, and what no worker has."""
    app = budgeted(sam3d_bulk_look="on")
    _submitted(app, simulator, bulk.LEAST, due_at=now + bulk.SOON + SECOND)
    _submitted(app, simulator, bulk.LEAST, due_at=now, lease_until=now + 30 * SECOND)
    sent: list[FollowUp] = []
    _scheduler(app, sent).look()
    assert (sent, _calls(simulator, "history")) == ([], 0)


def test_without_a_history_runs_are_polled(budgeted: Budgeted, simulator: Simulator) -> None:
    """A warning, and no further try for a minute."""
    app = budgeted(sam3d_bulk_look="on")
    tickets = _runs(app, simulator, bulk.LEAST)
    simulator.update(history_available=False)
    sent: list[FollowUp] = []
    scheduler = _scheduler(app, sent)
    with capture_logs() as logs:
        scheduler.look()
        scheduler.look()
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["bulk_look_failed"]
    assert (sent, _calls(simulator, "history")) == ([], 1)
    _alter(app, tickets[0], due_at=now)
    following = execute(app.services, Step.POLL, tickets[0])
    assert following
    assert following.step is Step.FETCH
    _runs(app, simulator, 1)
    simulator.update(history_available=True)
    scheduler._looks_at = 0
    scheduler.look()
    assert len(sent) == bulk.LEAST


def test_a_word_that_nobody_knows_is_left_to_the_polls(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """The history is known from the vendor's SDK alone: runs that are over must not be put off again and again."""
    app = budgeted(sam3d_bulk_look="on")
    tickets = _runs(app, simulator, bulk.LEAST)
    created = clock.time.isoformat()
    ids = [_job(app, ticket)["request_id"] for ticket in tickets]
    rows = [{"request_id": each, "model_status": "SUCCEEDED", "model_created": created} for each in ids]
    simulator.add_fault(call="history", kind="status", http_status=200, body={"data": rows})
    sent: list[FollowUp] = []
    _scheduler(app, sent).look()
    assert sent == []
    assert {_job(app, ticket)["version"] for ticket in tickets} == {1}


def test_the_history_teaches_nothing_of_reads(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """It is another host's: that it answers while submits are limited says nothing of polls."""
    app = budgeted(sam3d_bulk_look="on", sam3d_reads_count="auto")
    _runs(app, simulator, bulk.LEAST)
    _close(app, 30 * SECOND)
    clock.advance(SECOND)
    _scheduler(app, []).look()
    assert _calls(simulator, "history") == 1
    assert _account(app)["reads_count"] is None


def test_a_settled_job_does_not_keep_the_slot_of_its_poll(limited: App, clock: Clock, simulator: Simulator) -> None:
    """Its result is not due at that time: it draws a slot of its own, and is not made before that."""
    _alter_account(limited, next_slot_at=now + 3 * SECOND)
    (ticket,) = _submitted(limited, simulator)
    assert execute(limited.services, Step.POLL, ticket)
    _runs(limited, simulator, bulk.LEAST - 1)
    settled = {each.ticket.job_id: each for each in bulk.look(limited.services)}
    fetch = settled[ticket.job_id]
    assert fetch.step is Step.FETCH
    assert load(limited.services, Step.FETCH, fetch.ticket) is None
