"""What is accepted goes on in a slot of its process, if one is free soon; else a message does it."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
import structlog
from kombu.message import Message
from structlog.testing import capture_logs

from tests.support.in_process import PHOTO, settings_of
from tests.support.requests import rows
from worker.app import App, create_app
from worker.broker.topology import RECONSTRUCT_TASK, REQUESTS
from worker.intake.prepare import prepare_request
from worker.rules.lifecycle import Step
from worker.simulator import Simulator
from worker.work import executor
from worker.work.post import Post


@pytest.fixture
def slots(app: App) -> Iterator[deque[Callable[[], None]]]:
    """Provide what was started in the two slots of an app, in place of threads."""
    started: deque[Callable[[], None]] = deque()
    app.services.next_up.open(started.append, 2)
    yield started
    app.services.next_up.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Provide the steps whose messages were sent."""
    steps = list[Step]()
    monkeypatch.setattr(Post, "send", lambda _, following: steps.extend([following.step] if following else []))
    return steps


def receive(app: App) -> None:
    """Give a request to its task."""
    fields = {**prepare_request(PHOTO), "metadata": {"more": "x" * 100}}
    message = Message(
        body=json.dumps([[], fields, {}]),
        headers={"task": RECONSTRUCT_TASK, "id": str(uuid4())},
        delivery_info={"exchange": "", "routing_key": REQUESTS},
        content_type="application/json",
        content_encoding="utf-8",
    )
    app.tasks[RECONSTRUCT_TASK](message)


def state(app: App) -> str:
    """Return the state of the only job."""
    [row] = rows(app, "SELECT state FROM jobs")
    return str(row["state"])


def test_a_request_is_submitted_in_the_next_slot(
    app: App, simulator: Simulator, slots: deque[Callable[[], None]], sent: list[Step]
) -> None:
    """No message to ourselves is sent for it, and whoever accepted it is free for the next."""
    receive(app)
    assert (state(app), sent) == ("accepted", [])
    slots.popleft()()
    assert (state(app), sent) == ("processing", [Step.POLL])
    assert simulator.requests()["calls"]["submit"] == {"200": 1}


def test_where_many_come_their_submits_are_messages(
    app: App, simulator: Simulator, slots: deque[Callable[[], None]], sent: list[Step]
) -> None:
    """They wait in the broker, where every process can take them."""
    for _ in range(5):
        receive(app)
    assert (len(slots), sent) == (2, [Step.SUBMIT] * 3)
    assert simulator.requests()["total"] == 0


def test_what_has_no_slot_when_its_process_ends_is_a_message(
    app: App, simulator: Simulator, slots: deque[Callable[[], None]], sent: list[Step]
) -> None:
    """Somebody else submits it."""
    receive(app)
    app.services.next_up.close()
    assert sent == [Step.SUBMIT]
    slots.popleft()()
    assert simulator.requests()["total"] == 0


def test_a_submit_that_breaks_is_told_and_swept(
    app: App, slots: deque[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it, so nobody else would say so."""
    receive(app)
    monkeypatch.setattr(executor, "execute", lambda *_: 1 / 0)
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        slots.popleft()()
    [line] = [each for each in logs if each["event"] == "step_broke"]
    assert (line["step"], line["next"], line["exc_info"]) == (Step.SUBMIT, "the sweep finds the job", True)
    assert line["job_id"]


def test_a_request_that_comes_again_is_not_submitted_again(
    app: App, simulator: Simulator, slots: deque[Callable[[], None]], sent: list[Step]
) -> None:
    """It is a duplicate, whatever its first delivery came to."""
    fields = {**prepare_request(PHOTO), "job_id": str(uuid4())}
    message = Message(
        body=json.dumps([[], fields, {}]),
        headers={"task": RECONSTRUCT_TASK, "id": str(uuid4())},
        delivery_info={"exchange": "", "routing_key": REQUESTS, "redelivered": True},
        content_type="application/json",
        content_encoding="utf-8",
    )
    app.tasks[RECONSTRUCT_TASK](message)
    slots.popleft()()
    app.tasks[RECONSTRUCT_TASK](message)
    while slots:
        slots.popleft()()
    assert simulator.requests()["calls"]["submit"] == {"200": 1}
    assert Step.SUBMIT not in sent


def test_a_worker_that_does_not_submit_leaves_it_to_one_that_does(
    migrated_url: str, simulator: Simulator, sent: list[Step]
) -> None:
    """By a message, as workers are split by role."""
    accepting = create_app(settings_of(f"memory://{uuid4().hex}", migrated_url, simulator), ["accept"])
    try:
        receive(accepting)
        assert state(accepting) == "accepted"
    finally:
        accepting.close()
    assert sent == [Step.SUBMIT]
