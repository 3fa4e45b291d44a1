"""An account that a person holds, or that cannot tell what it lacks, against a real database and the simulator."""

import json

from sqlalchemy import text

from tests.support.in_process import row_of
from tests.support.kept import keeping
from tests.support.services.zygote import Zygote
from worker.app import App
from worker.database import reading
from worker.database.engine import transaction
from worker.errors import HoldCause
from worker.rules.lifecycle import FollowUp
from worker.rules.outcome import Hold
from worker.simulator import Simulator
from worker.upkeep.scheduler import Scheduler
from worker.work import holding
from worker.work.executor import execute

BY_A_PERSON = Hold(HoldCause.OPERATOR, "Held by a person.")


def _probes(app: App) -> list[FollowUp]:
    """Let a minute pass and return the jobs that are let through."""
    sent: list[FollowUp] = []
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE accounts SET probed_at = probed_at - interval '2 minutes'"))
    Scheduler(keeping(app.services, sent.append), dict).duties.probe()
    return sent


def _causes(app: App) -> list[str]:
    with transaction(app.services.engine) as connection:
        return [str(account["held_cause"]) for account in reading.held_accounts(connection)]


def _hold(app: App) -> None:
    with transaction(app.services.engine) as connection:
        holding.hold(connection, "default", BY_A_PERSON, stops_reads=False)


def test_only_a_person_ends_a_persons_hold(app: App, simulator: Simulator, accepted_job: FollowUp) -> None:
    """Even where the account was held before, and would go on by itself: nothing is tried, neither hides the other."""
    simulator.update(credits=0, credits_status=406)
    execute(app.services, accepted_job.step, accepted_job.ticket)
    _hold(app)
    simulator.update(credits=10)
    assert _probes(app) == []
    assert _causes(app) == ["credits", "operator"]
    with transaction(app.services.engine) as connection:
        lifted = [event.payload["cause"] for event in holding.lift(connection, "default")]
    assert lifted == ["credits", "operator"]
    assert _causes(app) == []


def test_a_doctor_says_since_when_an_account_is_held(app: App, accepted_job: FollowUp, zygote: Zygote) -> None:
    """As a job that waits for it does, each hold with why."""
    _hold(app)
    waits_for = str(row_of(app, accepted_job.ticket.job_id)["waits_for"])
    settings = app.services.settings
    found = zygote.run(
        "doctor", "--json",
        SAM3D_DATABASE_URL=settings.database.url,
        SAM3D_BROKER_URL="amqp://127.0.0.1:1//",
        SEGMIND_BASE_URL=settings.vendor.base_url,
        SEGMIND_ACCOUNT_URL=settings.vendor.account_url,
    )  # fmt: skip
    rows = {row["check"]: row["result"] for row in json.loads(found.stdout)}
    since = waits_for.partition("since ")[2]
    assert waits_for == f"the account is held (operator), since {since}"
    assert rows["account"] == f"Held (operator), since {since}: Held by a person."


def test_a_persons_hold_stops_submits_only(app: App, submitted_job: FollowUp) -> None:
    """Runs that were started go on."""
    _hold(app)
    assert execute(app.services, submitted_job.step, submitted_job.ticket)


def test_credits_that_nobody_can_tell_are_tried_with_a_job(
    app: App, simulator: Simulator, accepted_job: FollowUp
) -> None:
    """An answer of another form is no reason to stop for ever."""
    simulator.update(credits=0, credits_status=406)
    execute(app.services, accepted_job.step, accepted_job.ticket)
    simulator.add_fault(call="credits", kind="status", http_status=404)
    assert [probe.ticket for probe in _probes(app)]


def test_an_account_without_credits_for_an_hour_is_tried_with_a_job(
    app: App, simulator: Simulator, accepted_job: FollowUp
) -> None:
    """A run may have become cheaper than the balance that seems too small."""
    simulator.update(credits=0.01, credits_status=406)
    execute(app.services, accepted_job.step, accepted_job.ticket)
    assert _probes(app) == []
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE accounts SET held_at = held_at - interval '2 hours'"))
    assert [probe.ticket for probe in _probes(app)]
