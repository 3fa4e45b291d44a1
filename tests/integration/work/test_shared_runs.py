"""Equal requests share a run: it is paid once, each of them hears how it ended, and none depends on another."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.in_process import PHOTO, advance
from tests.support.requests import at_once, rows
from tests.support.sharing import drive, row_of, send, send_all, states, told
from worker.app import App
from worker.database import jobs, tables
from worker.database.engine import transaction
from worker.database.retention import delete_outputs, old_outputs
from worker.intake.accept import accept
from worker.intake.asking import answer
from worker.intake.envelope import Envelope
from worker.intake.prepare import prepare_request
from worker.rules.asks import Ask
from worker.rules.lifecycle import FollowUp, Step, Ticket, Trigger
from worker.rules.origin import Origin
from worker.rules.outcome import Advance, Fail, Learnt, Snooze
from worker.simulator import Simulator
from worker.work import changes, decisions, shared_runs
from worker.work.cancelling import cancel
from worker.work.executor import record
from worker.work.taking import load

FILES = "SELECT name, media_type, bytes, sha256, location, role, geometry FROM outputs WHERE job_id = :id ORDER BY name"


def test_fifty_at_once_are_one_paid_run(sharing: App, simulator: Simulator) -> None:
    """The first is cancelled in the middle: the others have the model, and one of them is told what it cost."""
    submits: list[FollowUp | None] = []
    at_once(10, lambda: submits.extend(send(sharing)[1] for _ in range(5)))
    [submit] = [each for each in submits if each]
    first = rows(sharing, "SELECT id FROM jobs WHERE NOT is_shared ORDER BY accepted_at LIMIT 1")[0]["id"]
    poll = advance(sharing, submit)
    assert cancel(sharing.services, str(first))
    drive(sharing, poll)
    assert states(sharing) == {"succeeded": 49, "cancelled": 1}
    assert len(simulator.ledger()) == 1
    [cost] = [each for each in (event["cost"]["amount"] for event in told(sharing, "succeeded")) if each]
    assert rows(sharing, "SELECT sum(cost) AS cost FROM jobs")[0]["cost"] == Decimal(str(cost))
    run_id = submit.ticket.job_id
    files = rows(sharing, FILES, id=UUID(run_id))
    assert [file["name"] for file in files] == ["model.glb"]
    for event in told(sharing, "succeeded"):
        assert rows(sharing, FILES, id=UUID(event["job_id"])) == files
        assert event["shared_run"]["id"] == run_id
        assert event["shared_run"]["request_id"] == row_of(sharing, run_id)["request_id"]
    assert len(told(sharing, "accepted")) == len(told(sharing, "submitted")) == 50
    assert len(told(sharing, "succeeded")) == 49


def test_a_run_is_nobodys_job(sharing: App) -> None:
    """Nothing is announced under its id, nobody may ask about it by message, or take its id."""
    _, submit = send_all(sharing, 2)
    run_id = submit.ticket.job_id
    drive(sharing, submit)
    assert rows(sharing, "SELECT id FROM events WHERE job_id = :id", id=UUID(run_id)) == []
    for ask in Ask:
        with capture_logs() as logs:
            answer(sharing.services, ask, _envelope(run_id), Origin("shop", None))
        assert [line.get("code") for line in logs if line["event"] == "ask_refused"] == ["unknown_job"]
    fields = {**prepare_request(PHOTO), "job_id": run_id}
    assert accept(sharing.services, fields, uuid4(), origin=Origin("shop", None)) is None
    assert [event["error"]["code"] for event in told(sharing, "refused")] == ["conflict"]


def _envelope(job_id: str) -> Envelope:
    return Envelope({"job_id": job_id}, uuid4(), is_of_body=False)


def test_a_run_that_ended_answers_at_once(sharing: App, simulator: Simulator) -> None:
    """It costs nothing more, and its files are the later job's own, however long the first one's are kept."""
    (first, _), submit = send_all(sharing, 2)
    drive(sharing, submit)
    later, follow_up = send(sharing)
    assert (follow_up, row_of(sharing, later)["state"]) == (None, "succeeded")
    event = told(sharing, "succeeded")[-1]
    assert (event["job_id"], event["cost"]["amount"]) == (later, 0)
    assert event["timings"]["seconds_since_submit"] == 0
    assert [each["name"] for each in event["outputs"]] == ["model.glb"]
    assert rows(sharing, FILES, id=UUID(later)) == rows(sharing, FILES, id=UUID(first)) != []
    assert len(simulator.ledger()) == 1


@pytest.mark.parametrize("count", [1, 100])
def test_a_run_whose_files_are_gone_answers_nobody(sharing: App, simulator: Simulator, count: int) -> None:
    """Nor one that lacks a file. The next request starts another, which is shared in its turn."""
    _, submit = send(sharing, include_artifacts=True)
    drive(sharing, submit)
    of_run = old_outputs("output", timedelta(0)).where(tables.jobs.c.is_shared)
    with transaction(sharing.services.engine) as connection:
        delete_outputs(connection, of_run, count)
    sent = [send(sharing, include_artifacts=True)[1] for _ in range(3)]
    [submit] = [each for each in sent if each]
    drive(sharing, submit)
    assert states(sharing) == {"succeeded": 4}
    assert len(simulator.ledger()) == 2
    assert {len(event["outputs"]) for event in told(sharing, "succeeded")} == {2}


def test_a_run_that_fails_fails_for_all_and_the_next_is_another(sharing: App, simulator: Simulator) -> None:
    """Each hears why; who sends it again has a new run."""
    simulator.add_fault(call="submit", kind="status", http_status=400, count=1)
    sharers, submit = send_all(sharing, 3)
    drive(sharing, submit)
    assert states(sharing) == {"failed": 3}
    assert {event["job_id"] for event in told(sharing, "failed")} == set(sharers)
    assert len({str(event["error"]) for event in told(sharing, "failed")}) == 1
    drive(sharing, send(sharing)[1])
    assert states(sharing) == {"failed": 3, "succeeded": 1}


def test_a_run_that_nobody_needs_is_not_made(sharing: App, simulator: Simulator) -> None:
    """The last who cancels before its submit takes it along; whoever comes then starts another."""
    sharers, submit = send_all(sharing, 2)
    for job_id in sharers:
        assert row_of(sharing, submit.ticket.job_id)["state"] == "accepted"
        cancel(sharing.services, job_id)
    assert row_of(sharing, submit.ticket.job_id)["state"] == "cancelled"
    drive(sharing, submit)
    assert simulator.ledger() == []
    assert len(told(sharing, "cancelled")) == 2
    drive(sharing, send(sharing)[1])
    assert states(sharing) == {"cancelled": 2, "succeeded": 1}


def test_a_submit_that_comes_back_to_nobody_is_not_made_again(sharing: App, simulator: Simulator) -> None:
    """All gave it up while it was under way, and nothing had been sent: it is the same as before its submit."""
    sharers, submit = send_all(sharing, 2)
    taken = load(sharing.services, Step.SUBMIT, submit.ticket)
    assert taken
    for job_id in sharers:
        cancel(sharing.services, job_id)
    recorded = record(sharing.services, taken, Snooze(timedelta(0), "nothing was sent"))
    drive(sharing, changes.follow_up(taken, recorded))
    assert row_of(sharing, submit.ticket.job_id)["state"] == "cancelled"
    assert simulator.ledger() == []


def test_a_paid_run_that_nobody_waits_for_is_kept(sharing: App, simulator: Simulator) -> None:
    """It was paid for: it goes on, and the next equal request has it."""
    sharers, submit = send_all(sharing, 2)
    poll = advance(sharing, submit)
    for job_id in sharers:
        cancel(sharing.services, job_id)
    later, follow_up = send(sharing)
    assert follow_up is None
    drive(sharing, poll)
    assert row_of(sharing, later)["state"] == "succeeded"
    assert len(simulator.ledger()) == 1


def test_who_cancels_the_run_itself_cancels_all(sharing: App) -> None:
    """An operator may: each who waits is told."""
    sharers, submit = send_all(sharing, 3)
    assert cancel(sharing.services, submit.ticket.job_id)
    assert states(sharing) == {"cancelled": 3}
    assert {event["job_id"] for event in told(sharing, "cancelled")} == set(sharers)


def test_a_run_in_review_is_told_and_decided_for_all(sharing: App) -> None:
    """All hear that a person must decide, and wait: none is paid a second time meanwhile, nor he who comes then."""
    jobs_before, submit = send_all(sharing, 2)
    advance(sharing, submit)
    with transaction(sharing.services.engine) as connection:
        run = jobs.find(connection, submit.ticket.job_id)
        assert run
        killed = Fail(Trigger.KILLED, "worker_killed", "Workers ended.")
        changes.apply(connection, run, killed, timedelta(0))
    assert [event["state"] for event in told(sharing, "review")] == ["sharing"] * 2
    assert {event["job_id"] for event in told(sharing, "review")} == set(jobs_before)
    assert send(sharing)[1] is None
    assert states(sharing) == {"sharing": 3}
    decisions.give_up(sharing.services, submit.ticket.job_id)
    assert states(sharing) == {"failed": 3}


def test_a_late_answer_brings_all_out_of_review(sharing: App, simulator: Simulator) -> None:
    """The run was given up for untold while its submit was under way: they hear of both, and have its model."""
    _, submit = send_all(sharing, 3)
    taken = load(sharing.services, Step.SUBMIT, submit.ticket)
    assert taken
    with transaction(sharing.services.engine) as connection:
        changes.apply(connection, taken, Fail(Trigger.UNTOLD, "submit_unknown", "Nobody knows."), timedelta(0))
    late = Advance(Trigger.ANSWERED, learnt=Learnt(request_id=sharing.services.vendor.submit(taken.inputs).request_id))
    assert record(sharing.services, taken, late).version is None
    assert len(told(sharing, "review")) == len(told(sharing, "submitted")) == 3
    run = row_of(sharing, submit.ticket.job_id)
    drive(sharing, FollowUp(Step.POLL, Ticket(submit.ticket.job_id, run["version"]), timedelta(0)))
    assert states(sharing) == {"succeeded": 3}
    assert len(simulator.ledger()) == 1


def test_a_run_waits_for_its_account_as_a_job_does(sharing: App, simulator: Simulator) -> None:
    """Those who share it wait with it; it is submitted once the account goes on."""
    rows(sharing, "UPDATE accounts SET paused_at = sam3d_now() RETURNING name")
    assert [send(sharing)[1] for _ in range(3)] == [None] * 3
    [run] = rows(sharing, "SELECT id::text, version, state FROM jobs WHERE is_shared")
    submit = FollowUp(Step.SUBMIT, Ticket(run["id"], run["version"]), timedelta(0))
    drive(sharing, submit)
    assert (run["state"], simulator.ledger()) == ("accepted", [])
    rows(sharing, "UPDATE accounts SET paused_at = NULL RETURNING name")
    drive(sharing, submit)
    assert states(sharing) == {"succeeded": 3}


def test_a_model_that_may_be_anothers_is_given_to_nobody_more(sharing: App) -> None:
    """Another submit, which was under way at the same time, was answered with the same run."""
    (_, first), (_, second) = send(sharing), send(sharing, seed=7)
    assert first
    assert second
    taken = load(sharing.services, Step.SUBMIT, second.ticket)
    assert taken
    drive(sharing, first)
    run = row_of(sharing, first.ticket.job_id)["request_id"]
    record(sharing.services, taken, Advance(Trigger.ANSWERED, learnt=Learnt(request_id=run, remote_status="QUEUED")))
    assert send(sharing)[1]


@pytest.mark.parametrize("fields", [{"force": True}, {"seed": 7}, {"source": "stranger"}])
def test_who_asks_for_another_has_a_run_of_his_own(sharing: App, fields: dict[str, Any]) -> None:
    """Another seed, another sender, or a new model of the same."""
    _, first = send(sharing)
    _, second = send(sharing, **fields)
    assert first
    assert second


def test_nobody_shares_unless_it_is_set(app: App) -> None:
    """It is off by default."""
    assert all(send(app)[1] for _ in range(2))
    assert states(app) == {"accepted": 2}


def test_the_most_urgent_hurries_the_run(sharing: App) -> None:
    """A run waits for its submit as the most urgent of those who share it would, also for one that comes back."""
    _, submit = send(sharing, priority=1)
    assert submit
    for priority, expected in ((7, 7), (3, 7)):
        send(sharing, priority=priority)
        assert row_of(sharing, submit.ticket.job_id)["priority"] == expected
    assert load(sharing.services, Step.SUBMIT, submit.ticket)
    send(sharing, priority=9)
    assert row_of(sharing, submit.ticket.job_id)["priority"] == 9


def test_of_very_many_some_have_another_run(sharing: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many are told of an end at once has a bound."""
    monkeypatch.setattr(shared_runs, "MOST_SHARERS", 3)
    submits = [submit for submit in (send(sharing)[1] for _ in range(7)) if submit]
    assert len(submits) == 3
    for submit in submits:
        drive(sharing, submit)
    assert states(sharing) == {"succeeded": 7}


def test_a_message_that_comes_twice_shares_once(sharing: App) -> None:
    """It is a duplicate, whatever its run does."""
    request, derived = prepare_request(PHOTO), uuid4()
    submits = [accept(sharing.services, request, derived) for _ in range(3)]
    assert [bool(each) for each in submits] == [True, False, False]
    drive(sharing, submits[0])
    accept(sharing.services, request, derived)
    assert states(sharing) == {"succeeded": 1}


def _do_one(actions: list[Callable[[], object]]) -> None:
    actions.pop()()


@pytest.mark.parametrize("act", ["join", "cancel"])
def test_a_run_does_not_end_unseen(sharing: App, act: str) -> None:
    """Who comes or goes in the instant in which it ends is neither forgotten nor told two things."""
    for _ in range(5):
        sharers, submit = send_all(sharing, 3)
        fetch = advance(sharing, advance(sharing, submit))
        meanwhile = partial(send, sharing) if act == "join" else partial(cancel, sharing.services, sharers[0])
        actions: list[Callable[[], object]] = [partial(drive, sharing, fetch), meanwhile]
        at_once(2, partial(_do_one, actions))
        with transaction(sharing.services.engine) as connection:
            delete_outputs(connection, old_outputs("output", timedelta(0)), 100)
    assert set(states(sharing)) <= {"succeeded", "cancelled"}
    ends = Counter(each["job_id"] for kind in ("succeeded", "cancelled") for each in told(sharing, kind))
    assert set(ends.values()) == {1}
    assert len(ends) == sum(states(sharing).values())
