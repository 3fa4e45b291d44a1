"""What the vendor said of a run that completed is kept with its job, whatever it is and however it came."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.support.budgeted import Budgeted, add_submitted, fresh_terms, job_row, make_scheduler
from tests.support.clock import Clock
from tests.support.in_process import PHOTO, advance, row_of, wait_until_due
from tests.support.requests import rows
from tests.support.sharing import drive
from worker.app import App
from worker.database.engine import transaction
from worker.database.tables import now
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator
from worker.work.decisions import adopt
from worker.work.executor import execute

PROMPT = "a red cup with a handle"
KEY = "SG_0123456789abcdef"
Said = dict[str, Any]


def said_of(app: App) -> Said | None:
    """Read what is kept, as the database has it."""
    with transaction(app.services.engine) as connection:
        said: Said | None = connection.execute(text("SELECT result FROM jobs")).scalar_one()
    return said


@pytest.fixture
def app(app: App) -> App:
    """Provide an app whose looks go to the result at once."""
    rows(app, "UPDATE accounts SET single_look = true, single_look_at = sam3d_now() RETURNING name")
    return app


@pytest.fixture
def prompted_job(app: App) -> FollowUp:
    """Provide a job with a prompt, that the vendor has."""
    accepted = accept(app.services, prepare_request(PHOTO, prompt=PROMPT), derived_job_id("test", uuid4().hex))
    assert accepted
    return advance(app, accepted)


def answer(app: App, simulator: Simulator, **more: Any) -> Said:
    """Have the vendor answer with a result that has more in it; return its body."""
    [row] = rows(app, "SELECT request_id FROM jobs")
    output = f"{simulator.url}/outputs/model.glb"
    body = {"status": "COMPLETED", "request_id": row["request_id"], "output": output, "metrics": {}, **more}
    simulator.add_fault(call="result", kind="status", http_status=200, body=body)
    return body


def test_the_body_is_kept_with_what_it_led_to(app: App, submitted_job: FollowUp) -> None:
    """In the commit that there is anyway, and it stays when the job has ended."""
    drive(app, submitted_job)
    assert row_of(app, submitted_job.ticket.job_id)["state"] == "succeeded"
    said = said_of(app)
    assert said
    assert (said["said_by"], said["is_cut"], said["body"]["status"]) == ("result", False, "COMPLETED")
    assert said["body"]["metrics"]["cost"] == 0.06


def test_a_body_that_comes_with_the_fetch_is_kept(app: App, submitted_job: FollowUp, simulator: Simulator) -> None:
    """Where the result tells nothing before the end, the status is polled, and the result is another request."""
    rows(app, "UPDATE accounts SET single_look = false, single_look_at = sam3d_now() RETURNING name")
    fresh_terms(app)
    fetched = advance(app, submitted_job)
    assert said_of(app) is None
    wait_until_due(app, fetched)
    assert execute(app.services, fetched.step, fetched.ticket) is None
    said = said_of(app)
    assert said
    assert said["body"]["output"].startswith(simulator.url)


def test_a_body_without_an_output_is_kept(app: App, submitted_job: FollowUp, simulator: Simulator) -> None:
    """It is what a person needs who is to find out why."""
    simulator.update(history_available=False)
    simulator.add_fault(call="result", kind="gone", count=1)
    fetched = advance(app, submitted_job)
    assert said_of(app) is None
    answer(app, simulator, output=None, files_of_a_new_kind={"mesh": "cgs://bucket/model"})
    wait_until_due(app, fetched)
    assert execute(app.services, fetched.step, fetched.ticket)
    said = said_of(app)
    assert said
    assert said["body"]["files_of_a_new_kind"] == {"mesh": "cgs://bucket/model"}
    assert row_of(app, fetched.ticket.job_id)["state"] == "fetching"


def test_the_rows_of_the_history_are_kept_in_its_place(app: App, prompted_job: FollowUp, simulator: Simulator) -> None:
    """Where the vendor has forgotten the run; without what was sent, which is in them too."""
    simulator.advance(timedelta(hours=2))
    drive(app, prompted_job)
    said = said_of(app)
    assert said
    assert said["said_by"] == "history"
    [row] = said["body"]
    assert (row["model_status"], row["credits_deduction"]) == ("COMPLETED", 0.06)
    assert PROMPT not in json.dumps(said)


def test_a_page_of_the_history_is_kept_in_its_place(budgeted: Budgeted, clock: Clock, simulator: Simulator) -> None:
    """Where one takes the place of polls and results."""
    app = budgeted(SAM3D_BULK_LOOK="on")
    simulator.update(run_time=0, fail_share=0)
    tickets = add_submitted(app, simulator, 8, due_at=now + timedelta(seconds=3))
    make_scheduler(app, []).duties.look()
    assert {job_row(app, each)["result"]["said_by"] for each in tickets} == {"history"}


HOSTILE: Sequence[tuple[str, Any]] = [
    ("nul", "a\0b"),
    ("half a character", "\ud83d and \udc00"),
    ("in a name", {"\0\ud800": {"\0": 1}}),
    ("numbers", [10**400, -(10**400), 1e308, 5e-324, 2**64]),
    ("no numbers", [float("nan"), float("inf"), -float("inf")]),
    ("large", ["x" * 2000] * 300),
    ("many", [{"n": number} for number in range(20_000)]),
    ("wide", "\U0001f600" * 60_000),
    ("empty names", {"": {"": {"": None}}}),
]


@pytest.mark.parametrize("value", [value for _, value in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_a_hostile_body_stops_no_job(app: App, submitted_job: FollowUp, simulator: Simulator, value: Any) -> None:
    """PostgreSQL takes what is kept of it, within bounds."""
    answer(app, simulator, odd=value)
    advance(app, submitted_job)
    [kept] = rows(
        app, "SELECT state, octet_length(result::text) AS size, result #>> '{body,status}' AS status FROM jobs"
    )
    assert (kept["state"], kept["status"]) == ("fetching", "COMPLETED")
    assert kept["size"] < 80_000


def nested(levels: int) -> Any:
    """Return a list so deep."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(("levels", "is_kept"), [(90, True), (200, False)])
def test_a_deep_body_stops_no_job(
    app: App, submitted_job: FollowUp, simulator: Simulator, *, levels: int, is_kept: bool
) -> None:
    """It is kept as deep as anything is read; one that is deeper is no answer, so the status is asked."""
    answer(app, simulator, odd=nested(levels))
    advance(app, submitted_job)
    assert row_of(app, submitted_job.ticket.job_id)["state"] == "fetching"
    assert (said_of(app) is not None) == is_kept


def test_no_key_and_no_photo_is_kept_and_nothing_is_told(
    app: App, prompted_job: FollowUp, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a body that quotes all that it can; no log and no event has any of it."""
    photo = prepare_request(PHOTO)["image"]
    answer(app, simulator, key=KEY, said=[f"of {KEY}", f"see {photo}"], photo=photo.partition(",")[2], mark="m4rk3r")
    with capture_logs() as logged:
        advance(app, prompted_job)
    said = json.dumps(said_of(app))
    assert "m4rk3r" in said
    assert not [secret for secret in (KEY, photo[100:160]) if secret in said]
    told = f"{logged}{caplog.text}{rows(app, 'SELECT payload FROM events')}"
    assert not [secret for secret in (KEY, "m4rk3r", PROMPT, "/outputs/") if secret in told]


def test_what_was_said_of_another_run_is_forgotten(app: App, submitted_job: FollowUp, simulator: Simulator) -> None:
    """A job that goes on with another run has nothing of the first."""
    answer(app, simulator)
    advance(app, submitted_job)
    assert said_of(app)
    rows(app, "UPDATE jobs SET state = 'review', request_id = NULL RETURNING id")
    adopt(app.services, submitted_job.ticket.job_id, str(uuid4()), lambda _: None)
    assert said_of(app) is None
