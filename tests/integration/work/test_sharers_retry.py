"""A retry of a job that shared a run: it shares what there is, and pays for another only where that is asked for."""

from uuid import uuid4

import pytest

from tests.support.in_process import advance
from tests.support.requests import rows
from tests.support.sharing import drive, row_of, send_all, states
from worker.app import App
from worker.errors import RetryRefused
from worker.simulator import Simulator
from worker.upkeep.prune import prune
from worker.work import decisions
from worker.work.cancelling import cancel
from worker.work.retrying import retry, retry_for_message


def test_those_who_retry_share_again(sharing: App, simulator: Simulator) -> None:
    """The photo is the failed run's; one run is made in the place of all that failed."""
    simulator.add_fault(call="submit", kind="status", http_status=400, count=1)
    sharers, submit = send_all(sharing, 3)
    drive(sharing, submit)
    again = [retry(sharing.services, job_id) for job_id in sharers]
    [submit] = [follow_up for _, follow_up in again if follow_up]
    drive(sharing, submit)
    assert [row_of(sharing, job_id)["state"] for job_id, _ in again] == ["succeeded"] * 3
    with pytest.raises(RetryRefused, match="succeeded"):
        retry(sharing.services, again[0][0])
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize("steps", ["submitted", "completed", "succeeded"])
def test_who_gave_it_up_has_the_paid_run_after_all(sharing: App, simulator: Simulator, steps: str) -> None:
    """It costs nothing more, so that his message may ask for it; nor does it take the photo, which is gone then."""
    sharers, follow_up = send_all(sharing, 2)
    follow_up = advance(sharing, follow_up)
    if steps != "submitted":
        follow_up = advance(sharing, follow_up)
    cancel(sharing.services, sharers[0])
    if steps == "succeeded":
        drive(sharing, follow_up)
        prune(sharing.services, lambda: None)
    again = retry_for_message(sharing.services, sharers[0], uuid4())
    drive(sharing, follow_up)
    assert row_of(sharing, again.job_id)["state"] == "succeeded"
    assert len(simulator.ledger()) == 1


def test_who_gave_up_a_run_that_the_vendor_failed_retries_it(sharing: App, simulator: Simulator) -> None:
    """It was not charged, though he did not wait to see that."""
    simulator.add_fault(call="submit", kind="fail_job", count=1)
    sharers, submit = send_all(sharing, 2)
    poll = advance(sharing, submit)
    cancel(sharing.services, sharers[0])
    drive(sharing, poll)
    assert states(sharing) == {"cancelled": 1, "failed": 1}
    _, submit_again = retry(sharing.services, sharers[0])
    assert submit_again


def test_a_run_that_may_be_paid_is_not_paid_again_unawares(sharing: App) -> None:
    """Its job says so, as does each that shared it; once another pays, the rest shares that."""
    sharers, submit = send_all(sharing, 2)
    advance(sharing, submit)
    rows(sharing, "UPDATE jobs SET state = 'review' WHERE is_shared RETURNING id")
    decisions.give_up(sharing.services, submit.ticket.job_id)
    for job_id in sharers:
        with pytest.raises(RetryRefused, match="has a paid run"):
            retry(sharing.services, job_id)
    _, first = retry(sharing.services, sharers[0], pays_again=True)
    _, second = retry(sharing.services, sharers[1])
    assert first
    assert second is None


def test_without_the_setting_a_retry_has_its_own_run(sharing: App, app: App) -> None:
    """It was unset meanwhile: a paid run is not used, an unpaid one is made anew."""
    sharers, submit = send_all(sharing, 1)
    cancel(sharing.services, sharers[0])
    again, own = retry(app.services, sharers[0])
    assert own
    assert own.ticket.job_id == again
    sharers, submit = send_all(sharing, 1)
    advance(sharing, submit)
    cancel(sharing.services, sharers[0])
    with pytest.raises(RetryRefused, match="has a paid run"):
        retry(app.services, sharers[0])


def test_a_run_itself_is_nobodys_to_retry(sharing: App, simulator: Simulator) -> None:
    """Those are who shared it."""
    simulator.add_fault(call="submit", kind="status", http_status=400, count=1)
    _, submit = send_all(sharing, 2)
    drive(sharing, submit)
    with pytest.raises(RetryRefused, match="is a run that jobs share: retry those"):
        retry(sharing.services, submit.ticket.job_id)
    assert states(sharing) == {"failed": 2}
