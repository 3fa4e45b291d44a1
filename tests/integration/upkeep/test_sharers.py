"""Those who share a run are told of its end by whoever sweeps, where the one who ended it did not."""

from uuid import UUID

import pytest

from tests.support.requests import rows
from tests.support.sharing import drive, row_of, send_all, states, told
from worker.app import App
from worker.simulator import Simulator
from worker.upkeep.sweep import sweep
from worker.work import shared_runs


def sweep_now(app: App) -> None:
    """Sweep once the grace of all jobs is over."""
    rows(app, "UPDATE jobs SET sweep_at = sam3d_now() RETURNING id")
    sweep(app.services, lambda _: 0, lambda: None)


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_run_that_ended_untold_is_told(
    sharing: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A worker of the last release drove it: each sharer ends as it did, once, with its files, and one pays."""
    if end == "failed":
        simulator.add_fault(call="submit", kind="status", http_status=400, count=1)
    sharers, submit = send_all(sharing, 3)
    with monkeypatch.context() as last_release:
        last_release.setattr(shared_runs, "pass_on", lambda *_: ())
        drive(sharing, submit)
    assert states(sharing) == {"sharing": 3}
    for _ in range(2):
        sweep_now(sharing)
    assert states(sharing) == {end: 3}
    assert [event["job_id"] for event in told(sharing, end)] == sharers
    outputs = rows(sharing, "SELECT job_id FROM outputs WHERE job_id <> :run", run=UUID(submit.ticket.job_id))
    assert len(outputs) == (3 if end == "succeeded" else 0)
    assert sum(bool(row_of(sharing, each)["cost"]) for each in sharers) == (end == "succeeded")


def test_who_waits_for_a_run_that_goes_on_is_left_alone(sharing: App) -> None:
    """However long it takes."""
    send_all(sharing, 2)
    sweep_now(sharing)
    assert states(sharing) == {"sharing": 2}
