"""Who is submitted first where no request limit is set: of the jobs that wait, the most important, then the oldest."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.budgeted import alter_account, alter_job, count_calls, job_row, send
from tests.support.clock import Clock
from tests.support.in_process import is_awaited
from tests.support.waiting import wait_until
from worker.app import App
from worker.database.engine import transaction
from worker.database.jobs import take_for_submit
from worker.database.tables import now
from worker.database.turns import whose_turn
from worker.rules.lifecycle import FollowUp, Step, Ticket
from worker.simulator import Simulator
from worker.work.executor import execute


def arrive(app: App, clock: Clock, *priorities: int) -> list[FollowUp]:
    """Let jobs come in one after the other; return their messages, as they lie in the queue."""
    messages = []
    for priority in priorities:
        clock.advance(timedelta(seconds=1))
        message = send(app, priority=priority, prompt=str(priority))
        assert message
        messages.append(message)
    return messages


def work_off(app: App, messages: list[FollowUp]) -> list[int]:
    """Let a worker take the messages in their order; return the priorities in the order of the submits."""
    submitted: list[int] = []
    waiting = deque(messages)
    while waiting:
        message = waiting.popleft()
        following = execute(app.services, message.step, message.ticket)
        if following and following.step is Step.SUBMIT:
            waiting.append(following)
        elif following:
            submitted.append(job_row(app, following.ticket)["priority"])
    return submitted


@pytest.mark.parametrize(
    ("come", "go"),
    [
        ((0, 0, 0, 9), [9, 0, 0, 0]),
        ((1, 5, 3, 5, -2), [5, 5, 3, 1, -2]),
        ((-1, 0, -1, 100), [100, 0, -1, -1]),
        ((9, 0, 0), [9, 0, 0]),
    ],
)
def test_the_most_important_goes_first(app: App, clock: Clock, come: tuple[int, ...], go: list[int]) -> None:
    """From a backlog in the queue; each message is one turn, and nobody waits for the sweep."""
    assert work_off(app, arrive(app, clock, *come)) == go


def test_of_equals_the_queue_decides(app: App, clock: Clock, simulator: Simulator) -> None:
    """Nothing changes where nobody asks for it."""
    messages = arrive(app, clock, 0, 0, 0)
    for message in messages:
        following = execute(app.services, message.step, message.ticket)
        assert following
        assert following.ticket.job_id == message.ticket.job_id
    assert count_calls(simulator, "submit") == 3


def test_one_that_comes_when_nobody_waits_goes_at_once(app: App, clock: Clock) -> None:
    """Without a scheduler, and with the message that it came with."""
    (message,) = arrive(app, clock, 0)
    following = execute(app.services, message.step, message.ticket)
    assert following
    assert following.step is Step.POLL


def test_a_message_of_a_job_that_is_gone_is_nobodys_turn_where_none_waits(app: App, clock: Clock) -> None:
    """It is dropped, as ever."""
    (message,) = arrive(app, clock, 0)
    assert execute(app.services, message.step, message.ticket)
    assert execute(app.services, message.step, message.ticket) is None


@pytest.mark.parametrize("why", ["due later", "taken", "held"])
def test_one_that_can_not_go_now_lets_others_go(app: App, clock: Clock, why: str) -> None:
    """However important it is."""
    ordinary, important = arrive(app, clock, 0, 9)
    match why:
        case "due later":
            alter_job(app, important.ticket, due_at=now + timedelta(minutes=1))
        case "taken":
            alter_job(app, important.ticket, lease_until=now + timedelta(minutes=1))
        case _:
            alter_account(app, held_at=now, probe_job_id=ordinary.ticket.job_id)
    following = execute(app.services, ordinary.step, ordinary.ticket)
    assert following
    assert following.ticket.job_id == ordinary.ticket.job_id


def test_of_a_held_account_the_one_that_may_try_it_goes_first(app: App, clock: Clock) -> None:
    """No other job of its line is looked at, however important it is."""
    ordinary, _, probe = arrive(app, clock, 0, 9, 5)
    alter_account(app, held_at=now, probe_job_id=probe.ticket.job_id)
    following = execute(app.services, ordinary.step, ordinary.ticket)
    assert following
    assert following.ticket.job_id == probe.ticket.job_id


def test_one_that_is_early_keeps_its_message(app: App, clock: Clock) -> None:
    """It is no turn of anybody: it is sent round again, and the others have messages of their own."""
    early, other = arrive(app, clock, 9, 0)
    alter_job(app, early.ticket, due_at=now + timedelta(seconds=30))
    following = execute(app.services, early.step, early.ticket)
    assert following
    assert (following.ticket, following.delay) == (early.ticket, timedelta(seconds=30))
    assert job_row(app, other.ticket)["state"] == "accepted"


def test_under_a_request_limit_the_release_decides(limited: App, clock: Clock) -> None:
    """Whom it has chosen and given a slot is submitted, not another one."""
    ordinary, important = send(limited, priority=0), send(limited, priority=9)
    assert ordinary
    clock.advance(timedelta(seconds=5))
    following = execute(limited.services, ordinary.step, Ticket(ordinary.ticket.job_id, 1))
    assert following
    assert following.ticket.job_id == ordinary.ticket.job_id
    assert important is None or job_row(limited, important.ticket)["state"] == "accepted"


def test_two_messages_at_once_forget_nobody(app: App, clock: Clock) -> None:
    """A message that waits while another takes its job is then the turn of whoever let that job go first."""
    low, high = arrive(app, clock, 0, 9)
    with ThreadPoolExecutor(1) as second:
        with transaction(app.services.engine) as connection:
            turn = whose_turn(connection, low.ticket)
            assert turn == high.ticket
            assert take_for_submit(connection, turn, timedelta(seconds=45), str(uuid4()), needs_slot=False)
            following = second.submit(execute, app.services, high.step, high.ticket)
            wait_until(lambda: is_awaited(app), "the second waits for the first")
        taken = following.result(60)
    assert taken
    assert (taken.step, taken.ticket.job_id) == (Step.POLL, low.ticket.job_id)
