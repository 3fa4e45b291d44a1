"""A request that comes alone is submitted in its own task; where many come, a message does it and they go first."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
from kombu.message import Message

from tests.support.in_process import PHOTO, settings_of
from tests.support.requests import rows
from worker.app import App, create_app
from worker.broker.topology import RECONSTRUCT_TASK, REQUESTS
from worker.intake.prepare import prepare_request
from worker.rules.lifecycle import Step
from worker.simulator import Simulator
from worker.work.post import Post
from worker.work.room import SMALL


@pytest.fixture
def busy(app: App) -> Iterator[None]:
    """Let requests be at the other slots."""
    with ExitStack() as others:
        for _ in range(app.services.settings.process.concurrency - 1):
            others.enter_context(app.services.door.entered())
        yield


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Provide the steps whose messages were sent."""
    steps = list[Step]()
    monkeypatch.setattr(Post, "send", lambda _, following: steps.extend([following.step] if following else []))
    return steps


def receive(app: App, more: str = "") -> None:
    """Give a request to its task."""
    fields = {**prepare_request(PHOTO), "metadata": {"more": "x" * 100}}
    message = Message(
        body=json.dumps([[], fields, {}]) + more,
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


def test_a_request_that_comes_alone_is_submitted_at_once(app: App, simulator: Simulator, sent: list[Step]) -> None:
    """No message to ourselves is sent for it."""
    receive(app)
    assert state(app) == "processing"
    assert sent == [Step.POLL]
    assert simulator.requests()["calls"]["submit"] == {"200": 1}


@pytest.mark.usefixtures("busy")
def test_where_many_come_they_are_accepted_first(app: App, simulator: Simulator, sent: list[Step]) -> None:
    """Their submits wait behind them, as messages."""
    receive(app)
    assert state(app) == "accepted"
    assert sent == [Step.SUBMIT]
    assert simulator.requests()["total"] == 0


def test_a_large_one_is_let_go_of_before_it_is_sent(app: App, sent: list[Step]) -> None:
    """What a process has of messages is bounded, and would be held for as long as the vendor takes."""
    receive(app, " " * SMALL)
    assert state(app) == "accepted"
    assert sent == [Step.SUBMIT]


def test_a_request_that_comes_again_is_not_submitted_again(app: App, simulator: Simulator) -> None:
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
    app.tasks[RECONSTRUCT_TASK](message)
    assert simulator.requests()["calls"]["submit"] == {"200": 1}


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
