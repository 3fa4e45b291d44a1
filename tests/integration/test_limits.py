"""What a 429 closes and teaches: the window, the limit that is learnt, and whether reads count."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

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
    fresh_terms,
    job_row,
    limit_calls,
    send,
    take,
)
from tests.support.clock import Clock
from worker.app import App
from worker.database.tables import now
from worker.rules.budget import HALVED, LOWERED, Kind
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket
from worker.simulator import Simulator
from worker.work.changes import Recorded
from worker.work.drawing import draw
from worker.work.executor import execute, record, run
from worker.work.taking import load


def _finish(app: App, step: Step, job: Job) -> Recorded:
    """Do the step of a job that was taken, and write what it learnt."""
    return record(app.services, job, run(app.services, step, job))


@pytest.mark.parametrize("form", ["iso", "epoch", "missing", "nonsense"])
def test_a_429_closes_the_window(limited: App, clock: Clock, simulator: Simulator, form: str) -> None:
    """Until the end of the vendor's minute, where it is named; else for a minute. No attempt is used up."""
    simulator.update(reset_header=form, requests_per_minute=0)
    follow_up = send(limited)
    assert follow_up
    again = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert again
    account, row = account_row(limited), job_row(limited, follow_up.ticket)
    closed_for = account["closed_until"] - clock.time
    assert again.delay == closed_for
    is_told = form in {"iso", "epoch"}
    assert (account["closed_at"] is not None) is is_told
    assert closed_for == SECOND or account["closed_until"].second == 0 if is_told else closed_for == 60 * SECOND
    assert (row["state"], row["attempts"], row["waits_for"]) == (JobState.ACCEPTED, 0, "the vendor's request limit")
    assert HALVED * 45 <= account["learnt_limit"] <= LOWERED * 45
    assert counted_requests(limited) == {Kind.SUBMIT: 1, Kind.LIMITED: 1}


def test_the_limit_is_lowered_once(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """However many requests were under way, and whichever process made them: 120 set, 60 allowed."""
    apps = budgeted(120), budgeted(120)
    taken = []
    for app in apps:
        follow_up = send(app)
        assert follow_up
        taken.append((app, take(app, Step.SUBMIT, follow_up.ticket)))
        clock.advance(SECOND)
    limit_calls(simulator, "submit", taken[0][1].observed_at + 30 * SECOND)
    for app, job in taken:
        assert _finish(app, Step.SUBMIT, job).version
    assert account_row(apps[0])["learnt_limit"] == 60
    assert counted_requests(apps[0])[Kind.LIMITED] == 2
    assert [fresh_terms(app).limit for app in apps] == [60, 60]
    clock.advance(timedelta(minutes=10))
    assert fresh_terms(apps[0]).limit == pytest.approx(72)
    clock.advance(timedelta(hours=10))
    assert fresh_terms(apps[0]).limit == 120


def test_a_limit_that_is_used_up_again_is_lowered_again(limited: App, clock: Clock) -> None:
    """After the window opened, each closure counts."""
    close_window(limited, 30 * SECOND, learnt=30)
    close_window(limited, 40 * SECOND, learnt=20)
    assert account_row(limited)["learnt_limit"] == 30
    assert account_row(limited)["closed_until"] == clock.time + 40 * SECOND
    clock.advance(40 * SECOND)
    close_window(limited, 5 * SECOND, learnt=20)
    assert account_row(limited)["learnt_limit"] == 20


def test_a_submit_waits_for_the_window(limited: App, clock: Clock, simulator: Simulator) -> None:
    """It comes back when it opens, having drawn nothing meanwhile; then it goes."""
    follow_up = send(limited)
    assert follow_up
    close_window(limited, 25 * SECOND)
    waits = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert waits == FollowUp(Step.SUBMIT, follow_up.ticket, 25 * SECOND)
    assert account_row(limited)["next_slot_at"] is None
    clock.advance(25 * SECOND)
    following = execute(limited.services, Step.SUBMIT, follow_up.ticket)
    assert following
    assert (following.step, count_calls(simulator, "submit")) == (Step.POLL, 1)


def test_a_slot_is_not_used_while_the_window_is_closed(limited: App, clock: Clock) -> None:
    """It was drawn before, and is drawn anew when it opens: the burst that was under way is spread again."""
    (ticket,) = add_jobs(limited, 1)
    draw(limited.services, Step.SUBMIT, ticket)
    close_window(limited, 25 * SECOND)
    assert load(limited.services, Step.SUBMIT, ticket) is None
    clock.advance(25 * SECOND)
    assert load(limited.services, Step.SUBMIT, ticket)
    assert counted_requests(limited) == {Kind.SUBMIT: 2, Kind.LIMITED: 1}


def test_polls_go_on_while_submits_wait(budgeted: Budgeted, simulator: Simulator) -> None:
    """Whether they count is not known yet."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    (ticket,) = add_submitted(app, simulator)
    close_window(app, 25 * SECOND)
    following = execute(app.services, Step.POLL, ticket)
    assert following
    assert following.step is Step.FETCH


def test_a_429_to_a_poll_closes_reads_as_well(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """It shows that reads count; the poll is not counted as one, nor as an attempt."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    first, second = add_submitted(app, simulator, 2)
    (fetched,) = add_jobs(app, 1, JobState.FETCHING)
    limit_calls(simulator, "status", clock.time + 30 * SECOND, count=1)
    again = execute(app.services, Step.POLL, first)
    assert again == FollowUp(Step.POLL, Ticket(first.job_id, 3), 30 * SECOND)
    account, row = account_row(app), job_row(app, first)
    assert (account["reads_count"], account["closes_reads"], account["learnt_limit"]) == (True, True, 30)
    assert (row["polls"], row["attempts"], row["requests"]) == (0, 0, 1)
    assert execute(app.services, Step.POLL, second) == FollowUp(Step.POLL, second, 30 * SECOND)
    assert execute(app.services, Step.FETCH, fetched) == FollowUp(Step.FETCH, fetched, 30 * SECOND)
    assert fresh_terms(app).reads_count is True


@pytest.mark.parametrize(
    ("setting", "learnt", "closes"), [("yes", None, True), ("auto", True, True), ("no", True, False)]
)
def test_where_reads_count_a_429_to_a_submit_closes_them(
    budgeted: Budgeted, clock: Clock, simulator: Simulator, setting: str, learnt: bool | None, closes: bool
) -> None:
    """What is set or was learnt once is not tried again."""
    app = budgeted(SAM3D_READS_COUNT=setting)
    alter_account(app, reads_count=learnt)
    (ticket,) = add_submitted(app, simulator)
    accepted = send(app)
    assert accepted
    limit_calls(simulator, "submit", clock.time + 30 * SECOND)
    fresh_terms(app)
    execute(app.services, Step.SUBMIT, accepted.ticket)
    clock.advance(5 * SECOND)
    assert (load(app.services, Step.POLL, ticket) is None) is closes


def test_a_read_that_is_answered_meanwhile_shows_that_reads_are_free(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """From then on they draw nothing; a 429 to one corrects it."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    first, second, third = add_submitted(app, simulator, 3)
    assert fresh_terms(app).reads_count is None
    close_window(app, 30 * SECOND)
    clock.advance(SECOND)
    execute(app.services, Step.POLL, first)
    assert account_row(app)["reads_count"] is False
    assert fresh_terms(app).reads_count is False
    execute(app.services, Step.POLL, second)
    assert [job_row(app, each)["polls"] for each in (first, second)] == [1, 1]
    assert counted_requests(app) == {Kind.POLL: 1, Kind.LIMITED: 1}
    limit_calls(simulator, "status", clock.time + 30 * SECOND)
    execute(app.services, Step.POLL, third)
    assert fresh_terms(app).reads_count is True


def test_nothing_is_learnt_of_reads_where_the_end_was_guessed(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """The vendor's window may have opened long ago."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    (ticket,) = add_submitted(app, simulator)
    follow_up = send(app)
    assert follow_up
    limit_calls(simulator, "submit", None)
    execute(app.services, Step.SUBMIT, follow_up.ticket)
    clock.advance(2 * SECOND)
    assert execute(app.services, Step.POLL, ticket)
    assert account_row(app)["reads_count"] is None


def test_nothing_is_learnt_of_a_read_that_was_made_before(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """It was answered while the window was closed, but it was counted in the one before."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    (ticket,) = add_submitted(app, simulator)
    job = take(app, Step.POLL, ticket)
    clock.advance(SECOND)
    close_window(app, 30 * SECOND)
    clock.advance(SECOND)
    assert _finish(app, Step.POLL, job).version
    assert account_row(app)["reads_count"] is None


def test_nothing_is_learnt_of_reads_once_the_vendor_has_opened(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """A reset that is over by our clock closes for a second, in which the vendor counts anew."""
    app = budgeted(SAM3D_READS_COUNT="auto")
    (ticket,) = add_submitted(app, simulator)
    follow_up = send(app)
    assert follow_up
    limit_calls(simulator, "submit", clock.time - 2 * SECOND)
    execute(app.services, Step.SUBMIT, follow_up.ticket)
    clock.advance(SECOND / 2)
    alter_job(app, ticket, slot_at=now)
    assert execute(app.services, Step.POLL, ticket)
    assert account_row(app)["reads_count"] is None


def test_draws_and_closures_at_the_same_time(budgeted: Budgeted) -> None:
    """No deadlock, no slot twice, and each is counted once."""
    app = budgeted(6000)
    tickets = add_jobs(app, 40, JobState.PROCESSING)

    def work(number: int) -> None:
        draw(app.services, Step.POLL, tickets[number])
        if number % 4 == 0:
            close_window(app, timedelta(minutes=1), step=Step.POLL, learnt=1000 + number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    slots, counted = drawn_slots(app), counted_requests(app)
    assert len(set(slots)) == len(slots) == counted[Kind.POLL] < 40
    assert counted[Kind.LIMITED] == 10
    assert all(load(app.services, Step.POLL, ticket) is None for ticket in tickets[:4])


def test_takes_and_closures_at_the_same_time(budgeted: Budgeted) -> None:
    """No deadlock; whoever was taken has had a slot, and nobody is taken once it is closed."""
    apps = budgeted(60_000), budgeted(60_000)
    tickets = add_jobs(apps[0], 40, JobState.PROCESSING)

    def work(number: int) -> bool:
        is_taken = load(apps[number % 2].services, Step.POLL, tickets[number]) is not None
        if number % 8 == 7:
            close_window(apps[0], timedelta(minutes=1), step=Step.POLL, learnt=1000)
        return is_taken

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(work, range(40)))
    assert 0 < taken < 40
    assert counted_requests(apps[0])[Kind.POLL] == taken + len(drawn_slots(apps[0]))
    assert load(apps[0].services, Step.POLL, add_jobs(apps[0], 1, JobState.PROCESSING)[0]) is None
