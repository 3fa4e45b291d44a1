"""What the request budget was used for: counts, the expected wait, and the metrics that tell of them."""

from collections import Counter
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from tests.support.budgeted import (
    SECOND,
    Budgeted,
    account_row,
    add_jobs,
    alter_account,
    close_window,
    count_calls,
    counted_requests,
    drive,
    fresh_terms,
    make_scheduler,
    send,
    slot_of,
)
from tests.support.clock import Clock
from worker.app import App
from worker.cli.limits import described
from worker.database import slots
from worker.database.engine import transaction
from worker.database.tables import jobs, now
from worker.errors import HoldCause
from worker.rules.budget import Kind
from worker.rules.lifecycle import JobState, Step
from worker.rules.outcome import Hold
from worker.simulator import Simulator
from worker.telemetry.metrics import Usage, exposition, usage
from worker.work.drawing import draw
from worker.work.executor import execute
from worker.work.holding import hold


def budget_of(app: App) -> Usage:
    """Read how an app's budget stands."""
    return usage(app.services.engine, app.services.account, app.services.outlook.terms())


def test_a_probe_of_a_held_account_is_charged(limited: App, simulator: Simulator, clock: Clock) -> None:
    """It can't wait, so others wait for it."""
    simulator.update(credits=0, credits_status=406)
    follow_up = send(limited)
    assert follow_up
    execute(limited.services, Step.SUBMIT, follow_up.ticket)
    alter_account(limited, probed_at=now - timedelta(minutes=2))
    before = account_row(limited)["next_slot_at"]
    make_scheduler(limited, []).duties.probe()
    assert account_row(limited)["next_slot_at"] == before + slot_of(limited)
    assert counted_requests(limited) == {Kind.SUBMIT: 1, Kind.PROBE: 1}
    assert count_calls(simulator, "credits") == 1


def test_old_minutes_are_forgotten(limited: App, clock: Clock) -> None:
    """A day later, and no sooner."""
    with transaction(limited.services.engine) as connection:
        slots.count(connection, "default", Kind.POLL)
    clock.advance(timedelta(hours=23))
    with transaction(limited.services.engine) as connection:
        slots.count(connection, "default", Kind.FETCH)
    make_scheduler(limited, []).duties.prune()
    assert counted_requests(limited) == {Kind.POLL: 1, Kind.FETCH: 1}
    clock.advance(timedelta(hours=2))
    make_scheduler(limited, []).duties.prune()
    assert counted_requests(limited) == {Kind.FETCH: 1}


def test_requests_are_what_the_vendor_saw(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Job by job, also where a status was no end and where a read failed."""
    app = budgeted(600)
    simulator.add_fault(call="status", kind="unknown_status", count=2)
    simulator.add_fault(call="result", kind="status", http_status=502, count=1)
    for _ in range(3):
        drive(app, clock, send(app))
    log = simulator.requests(with_log=True)["log"]
    # A read that goes wrong is logged under the run of its address as well.
    seen = Counter(each["request_id"] for each in log if each["call"] in {"submit", "status", "result"})
    with transaction(app.services.engine) as connection:
        rows = connection.execute(select(jobs.c.request_id, jobs.c.requests, jobs.c.polls)).all()
    assert {row.request_id: row.requests for row in rows} == dict(seen)
    found = budget_of(app)
    hour = {each.kind: each.last_hour for each in found.used}
    assert hour == {Kind.SUBMIT: 3, Kind.POLL: 6, Kind.FETCH: 2, Kind.PROBE: 0, Kind.HISTORY: 0, Kind.LIMITED: 0}
    assert (found.carried.finished, found.carried.waiting, found.carried.in_flight) == (3, 0, 0)
    assert found.carried.requests_per_job == pytest.approx(11 / 3)
    assert found.carried.polls_per_job == pytest.approx(2)


def test_usage_tells_the_last_whole_minute(limited: App, clock: Clock) -> None:
    """And the last hour, which ends now."""
    for ticket in add_jobs(limited, 3, JobState.PROCESSING):
        draw(limited.services, Step.POLL, ticket)

    def polls() -> tuple[int, int]:
        (found,) = (each for each in budget_of(limited).used if each.kind is Kind.POLL)
        return found.last_minute, found.last_hour

    told = [polls()]
    for step in (timedelta(minutes=1), timedelta(minutes=1), timedelta(hours=1)):
        clock.advance(step)
        told.append(polls())
    assert told == [(0, 3), (3, 3), (0, 3), (0, 0)]


def test_a_new_job_is_told_how_long_it_waits(limited: App, clock: Clock) -> None:
    """Each job before it takes the slots of its requests; while the window is closed, until it opens at least."""
    terms = limited.services.outlook.terms()
    assert budget_of(limited).expected_wait == timedelta(0)
    close_window(limited, 30 * SECOND)
    assert budget_of(limited).expected_wait == 30 * SECOND
    add_jobs(limited, 10)
    assert budget_of(limited).expected_wait == 10 * terms.requests * slot_of(limited)


def test_metrics_and_command_tell_the_same(limited: App, clock: Clock) -> None:
    """In the text that Prometheus reads, each figure once."""
    add_jobs(limited, 4)
    add_jobs(limited, 2, JobState.PROCESSING)
    add_jobs(limited, 3, JobState.SUCCEEDED, submitted_at=now - timedelta(hours=1), requests=5, polls=3)
    close_window(limited, 150 * SECOND, learnt=40)
    clock.advance(timedelta(minutes=1))
    fresh_terms(limited)
    found = budget_of(limited)
    told, shown = _samples(exposition(found)), described(found, 45)
    assert {told.pop(("sam3d_account_held", cause)) for cause in HoldCause} == {0}
    kinds = {each["kind"]: each["last_minute"] for each in shown["used"]}
    told["sam3d_requests_last_minute", Kind.LIMITED] = told.pop(("sam3d_requests_limited_last_minute", None))
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
    assert (shown["limit_now"], shown["closed_seconds"], shown["jobs_waiting"]) == (pytest.approx(40.45), 90, 4)


def test_metrics_without_a_limit_or_a_job_leave_out_what_nobody_knows(app: App) -> None:
    """A figure that is not there is not nothing."""
    told = _samples(exposition(budget_of(app)))
    assert {name for name, label in told if label is None} == {
        "sam3d_request_limit_closed_seconds",
        "sam3d_requests_limited_last_minute",
        "sam3d_jobs_waiting",
        "sam3d_jobs_in_flight",
        "sam3d_expected_wait_seconds",
    }
    assert set(told.values()) == {0}


@pytest.mark.parametrize("cause", [HoldCause.OPERATOR, HoldCause.OUTAGE])
def test_a_hold_is_a_metric_with_its_cause(app: App, cause: HoldCause) -> None:
    """Whoever is woken sees why the account is stopped, and that it is for nothing else."""
    with transaction(app.services.engine) as connection:
        hold(connection, "default", Hold(cause, "stopped"), stops_reads=False)
    told = _samples(exposition(budget_of(app)))
    assert {each for each in HoldCause if told["sam3d_account_held", each]} == {cause}


def _samples(text: bytes) -> dict[tuple[str, str | None], float]:
    """Read an exposition: each sample by its name and the label that it has beside the account's."""
    families = text_string_to_metric_families(text.decode())
    samples = [each for family in families for each in family.samples]
    assert all(each.labels["account"] == "default" for each in samples)
    read = {(each.name, each.labels.get("kind") or each.labels.get("cause")): each.value for each in samples}
    assert len(read) == len(samples)
    return read
