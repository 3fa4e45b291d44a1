"""What a job's row says does not tell whether its poll and its fetch were done in one go, or each by a message."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.support.budgeted import account_row, alter_account, send
from tests.support.in_process import advance, wait_until_due
from tests.support.requests import rows
from worker.app import App
from worker.database.tables import now
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator
from worker.work.executor import execute

RESULTS: Sequence[Mapping[str, Any]] = [
    {"kind": "status", "http_status": 502},
    {"kind": "status", "http_status": 429, "headers": {"x-rate-limit-reset-at-utc": "2126-01-01T00:00:00Z"}},
    {"kind": "status", "http_status": 401},
    {"kind": "status", "http_status": 403},
    {"kind": "status", "http_status": 404},
    {"kind": "gone"},
    {"kind": "html"},
    {"kind": "reset"},
]
DOWNLOADS: Sequence[Mapping[str, Any]] = [
    {"kind": "status", "http_status": 502},
    {"kind": "status", "http_status": 403},
    {"kind": "wrong_magic"},
    {"kind": "truncate"},
    {"kind": "reset"},
]
CASES: dict[str, tuple[bool, Mapping[str, Any] | None]] = {
    "by the status": (False, None),
    "by the result": (True, None),
    **{f"result {each.get('http_status', each['kind'])}": (False, {"call": "result", **each}) for each in RESULTS},
    **{
        f"download {each.get('http_status', each['kind'])}, {looked} was looked at": (
            works,
            {"call": "download", **each},
        )
        for looked, works, downloads in (("the status", False, DOWNLOADS[:1]), ("the result", True, DOWNLOADS))
        for each in downloads
    },
}
"""What is looked at, and what breaks of the fetch."""


@pytest.mark.parametrize(("works", "fault"), CASES.values(), ids=CASES)
def test_both_leave_the_same(app: App, simulator: Simulator, fault: Mapping[str, Any] | None, *, works: bool) -> None:
    """Whatever becomes of the fetch: what was counted, learnt, kept, announced and held."""
    alter_account(app, single_look=works, single_look_at=now)
    account, found = account_row(app), []
    for go in (in_one_go, by_messages):
        accepted = send(app)
        assert accepted
        submitted = advance(app, accepted)
        wait_until_due(app, submitted)
        following = go(app, submitted, lambda: fault and simulator.add_fault(count=1, **fault))
        found.append({"next": following and following.step, **left_by(app, submitted)})
        simulator.clear_faults()
        alter_account(app, **account)
        rows(app, "DELETE FROM jobs RETURNING id")  # What one was refused tells of what another is.
    assert found[0] == found[1]


def in_one_go(app: App, submitted: FollowUp, break_it: Callable[[], object]) -> FollowUp | None:
    """Look at a run and fetch it."""
    break_it()
    return execute(app.services, submitted.step, submitted.ticket)


def by_messages(app: App, submitted: FollowUp, break_it: Callable[[], object]) -> FollowUp | None:
    """Look at a run, and fetch it as the message says that follows."""
    fetch = advance(app, submitted)
    break_it()
    wait_until_due(app, fetch)
    return execute(app.services, fetch.step, fetch.ticket)


def left_by(app: App, submitted: FollowUp) -> Mapping[str, object]:
    """Return what a job's row and its account say, what was made of it and what was announced."""
    job_id = UUID(submitted.ticket.job_id)
    [row] = rows(app, "SELECT * FROM jobs WHERE id = :id", id=job_id)
    events = rows(app, "SELECT type FROM events WHERE job_id = :id ORDER BY position", id=job_id)
    outputs = rows(app, "SELECT name, role FROM outputs WHERE job_id = :id", id=job_id)
    return {**shown("job", row), **shown("account", account_row(app)), "events": events, "outputs": outputs}


def shown(whose: str, row: Mapping[str, object]) -> Mapping[str, object]:
    """Return the numbers and words of a row, and of anything else whether it is there: a time, an id, an address."""
    alike = {name: value for name, value in row.items() if name in WORDS or isinstance(value, int | float | Decimal)}
    there = {name: value is not None for name, value in row.items() if name not in alike}
    return {f"{whose}'s {name}": value for name, value in {**alike, **there}.items() if name not in ITS_OWN}


WORDS = {"state", "waits_for", "remote_status", "error_code", "error_message", "held_cause", "held_message"}
ITS_OWN = {"version", "settled_until"}
"""How often the row was written, which is what differs; and what is noted of the job that was deleted."""
