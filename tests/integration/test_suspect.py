"""While the last submits have no answer that tells, few go together: each may be one more in doubt."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from sqlalchemy import text

from tests.support.in_process import PHOTO
from worker.app import App
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp, Step
from worker.rules.standing import FEW
from worker.work.taking import load, wait_out


def accepted(app: App, number: int) -> FollowUp:
    """Accept a job."""
    follow_up = accept(app.services, prepare_request(PHOTO, prompt=f"{number}."), derived_job_id("test", uuid4().hex))
    assert follow_up
    return follow_up


def test_few_submits_go_together_while_answers_do_not_tell(app: App) -> None:
    """However many threads come at once; the others come again in some seconds, without a sweep."""
    waiting = [accepted(app, number) for number in range(8)]
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE accounts SET unknown_submits = :count"), {"count": 2})
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda each: load(app.services, Step.SUBMIT, each.ticket), waiting))
    assert sum(job is not None for job in taken) == FEW
    for job, each in zip(taken, waiting, strict=True):
        again = None if job else wait_out(app.services, Step.SUBMIT, each.ticket)
        assert (again is None) == (job is not None)
