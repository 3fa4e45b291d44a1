"""Many runs at once: one page of the vendor's history takes the place of their polls."""

import pytest
from structlog.testing import capture_logs

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
    drive,
    job_row,
    make_scheduler,
    photo,
)
from tests.support.clock import Clock
from worker.app import App
from worker.database.tables import now
from worker.intake.prepare import prepare_request
from worker.rules.budget import LEAST_BULK
from worker.rules.lifecycle import FollowUp, JobState, Step, Ticket
from worker.simulator import Simulator
from worker.upkeep import bulk
from worker.upkeep.bulk import BulkLook
from worker.work.executor import execute
from worker.work.taking import load

SOON = {"due_at": now + 3 * SECOND}


def _runs(app: App, simulator: Simulator, count: int, **settings: object) -> list[Ticket]:
    """Start runs, of which the vendor makes what is said, and whose polls are due soon."""
    simulator.update(**{"run_time": 0, "fail_share": 0, **settings})
    return add_submitted(app, simulator, count, **SOON)


def test_one_page_takes_the_place_of_many_polls(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """What is over is fetched, what runs is looked at later; what failed, or is not listed, is polled."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    over, running = _runs(app, simulator, 4), _runs(app, simulator, 4, run_time=900)
    failed, unlisted = _runs(app, simulator, 2, fail_share=1), add_jobs(app, 2, JobState.PROCESSING, **SOON)
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    assert count_calls(simulator, "history") == 1
    assert count_calls(simulator, "status") == 0
    assert {each.ticket.job_id for each in sent if each.step is Step.FETCH} == {each.job_id for each in over}
    assert {each.ticket.job_id for each in sent if each.step is Step.POLL} == {each.job_id for each in running}
    for ticket in over:
        assert job_row(app, ticket)["state"] == JobState.FETCHING
    for ticket in running:
        row = job_row(app, ticket)
        assert (row["state"], row["polls"], row["requests"]) == (JobState.PROCESSING, 0, 0)
        assert row["due_at"] > clock.time + bulk.SOON
        assert row["running_at"] == clock.time
    for ticket in failed + unlisted:
        row = job_row(app, ticket)
        assert (row["state"], row["version"], row["due_at"]) == (JobState.PROCESSING, 1, clock.time + 3 * SECOND)
    assert counted_requests(app) == {"history": 1}


def test_what_was_settled_is_fetched(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Ten jobs without a single poll or result; a poll's message that is under way is stale."""
    app = budgeted(600, SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, 10)
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    for each in sent:
        drive(app, clock, each)
    clock.advance(3 * SECOND)
    assert [execute(app.services, Step.POLL, ticket) for ticket in tickets] == [None] * 10
    assert {job_row(app, ticket)["state"] for ticket in tickets} == {JobState.SUCCEEDED}
    assert (count_calls(simulator, "status"), count_calls(simulator, "result")) == (0, 0)
    assert counted_requests(app) == {"history": 1}
    for ticket in tickets:
        row = job_row(app, ticket)
        assert (row["requests"], float(row["cost"]), row["addresses"]) == (0, 0.06, None)


def test_a_row_without_its_address_is_asked_for_at_the_result(
    budgeted: Budgeted, clock: Clock, simulator: Simulator
) -> None:
    """That the run is over counts; and whoever asked for artifacts gets both files."""
    app = budgeted(600, SAM3D_BULK_LOOK="on")
    simulator.update(history_output_delay_seconds=100)
    tickets = _runs(app, simulator, LEAST_BULK)
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    assert {each.step for each in sent} == {Step.FETCH}
    for each in sent:
        drive(app, clock, each)
    assert {job_row(app, ticket)["state"] for ticket in tickets} == {JobState.SUCCEEDED}
    assert count_calls(simulator, "result") == LEAST_BULK


def test_artifacts_need_all_their_rows(budgeted: Budgeted, simulator: Simulator) -> None:
    """One row is one output: where the second is missing, the result is asked."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, LEAST_BULK)
    alter_job(app, tickets[0], parameters={"include_artifacts": True})
    BulkLook(app.services).look()
    assert job_row(app, tickets[0])["addresses"] is None
    assert len(job_row(app, tickets[1])["addresses"]) == 1


def test_ids_of_rows_are_compared_without_dashes(budgeted: Budgeted, simulator: Simulator) -> None:
    """The history may write them in another way than the submit's answer."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    simulator.update(history_dashless=True)
    _runs(app, simulator, LEAST_BULK)
    assert len(BulkLook(app.services).look()) == LEAST_BULK


def test_a_run_of_which_a_look_failed_is_left_to_its_poll(budgeted: Budgeted, simulator: Simulator) -> None:
    """Where the vendor does not know a run, no row of another host puts off the end of it."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, LEAST_BULK + 1)
    alter_job(app, tickets[0], attempts=1)
    assert {each.ticket.job_id for each in BulkLook(app.services).look()} == {each.job_id for each in tickets[1:]}


def test_a_history_that_is_late_puts_no_result_off_for_long(budgeted: Budgeted, simulator: Simulator) -> None:
    """A run that takes far longer than most is polled, whatever is listed."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, LEAST_BULK, run_time=9000)
    for ticket in tickets[1:]:
        alter_job(app, ticket, submitted_at=now - 3000 * SECOND)
    assert [each.ticket.job_id for each in BulkLook(app.services).look()] == [tickets[0].job_id]


def _put_off_all_but_the_first(app: App, count: int) -> None:
    """Leave the oldest runs alone as those that are due soon."""
    with app.services.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET due_at = due_at + interval '1 hour', submitted_at = submitted_at + interval '5 seconds' "
            f"WHERE id NOT IN (SELECT id FROM jobs ORDER BY accepted_at LIMIT {count})"
        )


def test_the_page_is_asked_for_that_runs_are_on(budgeted: Budgeted, simulator: Simulator) -> None:
    """A hundred and fifty newer runs of ours are listed before them, so the first page is passed over."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    _runs(app, simulator, LEAST_BULK)
    _runs(app, simulator, 150)
    _put_off_all_but_the_first(app, LEAST_BULK)
    assert len(BulkLook(app.services).look()) == LEAST_BULK
    assert count_calls(simulator, "history") == 1


def test_runs_on_a_later_page_are_found(budgeted: Budgeted, simulator: Simulator) -> None:
    """Newer rows of the team, of which nothing is known here, are listed before ours."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    _runs(app, simulator, LEAST_BULK)
    for _ in range(150):
        app.services.vendor.submit({"image": prepare_request(photo())["image"]})
    assert len(BulkLook(app.services).look()) == LEAST_BULK
    assert count_calls(simulator, "history") == 2


def test_what_a_page_says_is_over_is_settled_before_its_time(budgeted: Budgeted, simulator: Simulator) -> None:
    """The page is read anyway; what goes on is left to its own time."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    due = _runs(app, simulator, LEAST_BULK)
    over = add_submitted(app, simulator, 2, due_at=now + 30 * SECOND)
    simulator.update(run_time=900)
    running = add_submitted(app, simulator, 2, due_at=now + 30 * SECOND)
    settled = {each.ticket.job_id for each in BulkLook(app.services).look()}
    assert settled == {each.job_id for each in [*due, *over]}
    assert [job_row(app, ticket)["version"] for ticket in running] == [1, 1]


def test_long_runs_are_looked_at_all_at_once(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Now and then, whenever in the next half minute they are due; and not sooner than that again."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    typical = app.services.outlook.terms().plan.typical
    seconds = [0.0]
    look = BulkLook(app.services, lambda: seconds[0])
    _runs(app, simulator, LEAST_BULK, run_time=9000)
    long = add_submitted(app, simulator, LEAST_BULK, submitted_at=now - 3 * typical, due_at=now + 30 * SECOND)
    young = add_submitted(app, simulator, LEAST_BULK, due_at=now + 30 * SECOND)
    assert {each.ticket.job_id for each in look.look()} >= {each.job_id for each in long}
    for ticket in long:
        assert job_row(app, ticket)["due_at"] >= clock.time + bulk.LONG_RUNS_SOON
    for ticket in young:
        assert job_row(app, ticket)["version"] == 1
    assert count_calls(simulator, "history") == 1
    later = add_submitted(app, simulator, LEAST_BULK, submitted_at=now - 3 * typical, due_at=now + 30 * SECOND)
    seconds[0] += bulk.EVERY.total_seconds()
    assert look.look() == ()
    seconds[0] += bulk.LONG_RUNS_EVERY.total_seconds()
    assert {each.ticket.job_id for each in look.look()} >= {each.job_id for each in later}


@pytest.mark.parametrize(
    ("count", "setting", "history"),
    [(LEAST_BULK - 1, "on", "auto"), (LEAST_BULK, "off", "auto"), (LEAST_BULK, "on", "off")],
)
def test_few_runs_are_polled(budgeted: Budgeted, simulator: Simulator, count: int, setting: str, history: str) -> None:
    """A page is larger than a few polls; and nothing is asked for where it is not wanted."""
    app = budgeted(SAM3D_BULK_LOOK=setting, SAM3D_HISTORY=history)
    _runs(app, simulator, count)
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    assert (sent, count_calls(simulator, "history")) == ([], 0)


def test_runs_whose_polls_are_far_or_taken_are_left_alone(budgeted: Budgeted, simulator: Simulator) -> None:
    """Only what is due soon counts, and what no worker has."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    add_submitted(app, simulator, LEAST_BULK, due_at=now + bulk.SOON + SECOND)
    add_submitted(app, simulator, LEAST_BULK, due_at=now, lease_until=now + 30 * SECOND)
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    assert (sent, count_calls(simulator, "history")) == ([], 0)


def test_without_a_history_runs_are_polled(budgeted: Budgeted, simulator: Simulator) -> None:
    """A warning, and no further try for a minute."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, LEAST_BULK)
    simulator.update(history_available=False)
    seconds = [0.0]
    look = BulkLook(app.services, lambda: seconds[0])
    with capture_logs() as logs:
        assert (look.look(), look.look()) == ((), ())
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["bulk_look_failed"]
    assert count_calls(simulator, "history") == 1
    alter_job(app, tickets[0], due_at=now)
    following = execute(app.services, Step.POLL, tickets[0])
    assert following
    assert following.step is Step.FETCH
    _runs(app, simulator, 1)
    simulator.update(history_available=True)
    seconds[0] += 60
    assert len(look.look()) == LEAST_BULK


def test_a_word_that_nobody_knows_is_left_to_the_polls(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """The history is known from the vendor's SDK alone: runs that are over must not be put off again and again."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    tickets = _runs(app, simulator, LEAST_BULK)
    created = clock.time.isoformat()
    ids = [job_row(app, ticket)["request_id"] for ticket in tickets]
    rows = [{"request_id": each, "model_status": "SUCCEEDED", "model_created": created} for each in ids]
    simulator.add_fault(call="history", kind="status", http_status=200, body={"data": rows})
    sent: list[FollowUp] = []
    make_scheduler(app, sent).duties.look()
    assert sent == []
    assert {job_row(app, ticket)["version"] for ticket in tickets} == {1}


def test_the_history_teaches_nothing_of_reads(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """It is another host's: that it answers while submits are limited says nothing of polls."""
    app = budgeted(SAM3D_BULK_LOOK="on", SAM3D_READS_COUNT="auto")
    _runs(app, simulator, LEAST_BULK)
    close_window(app, 30 * SECOND)
    clock.advance(SECOND)
    make_scheduler(app, []).duties.look()
    assert count_calls(simulator, "history") == 1
    assert account_row(app)["reads_count"] is None


def test_a_settled_job_needs_no_slot(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Its poll had drawn one; the file's address is known, so that nothing is asked of the vendor."""
    limited = budgeted(45, SAM3D_BULK_LOOK="on")
    alter_account(limited, next_slot_at=now + 3 * SECOND)
    (ticket,) = add_submitted(limited, simulator)
    assert execute(limited.services, Step.POLL, ticket)
    _runs(limited, simulator, LEAST_BULK - 1)
    settled = {each.ticket.job_id: each for each in BulkLook(limited.services).look()}
    fetch = settled[ticket.job_id]
    assert fetch.step is Step.FETCH
    assert load(limited.services, Step.FETCH, fetch.ticket)
    assert job_row(limited, ticket)["requests"] == 0
