"""Celery gets a task message only if it is one, and of its headers only what it may act on."""

import inspect
import json
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.amqp import AMQP
from celery.app.task import Context
from celery.worker.consumer import Consumer as CeleryConsumer

from tests.support.broken import TASKS, Broken, received, task
from worker.broker.delivery import as_mapping, body_bytes
from worker.broker.topology import RECONSTRUCT_TASK
from worker.intake.admission import HEADERS, passed_on, read_arguments, require_admissible
from worker.intake.consumer import Consumer
from worker.rules.untrusted import Unreadable

MARKER = "m4rk3r"


def admit(headers: dict[str, Any], content_type: str, body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Check a whole task message."""
    require_admissible(headers, content_type)
    return read_arguments(headers["task"], body)


GOOD = {"task": RECONSTRUCT_TASK, "id": "1"}


@pytest.mark.parametrize("message", TASKS, ids=range(len(TASKS)))
def test_what_is_no_task_message_is_refused(message: Broken) -> None:
    """As it is read of the wire; the reason is given, without a word of the message."""
    came = received(message)
    with pytest.raises(Unreadable) as refused:
        admit(dict(as_mapping(came.headers)), str(came.content_type), body_bytes(came.body))
    assert str(refused.value).startswith(message.why)


def names_of_celery() -> set[str]:
    """Return each name that Celery reads in a request, or that its producers write."""
    read = {name for name, each in vars(Context).items() if not name.startswith("_") and not callable(each)}
    written = json.loads(json.dumps(AMQP.as_task_v2(_App(), "1", "x", (), {}).headers))
    return read - {"children"} | set(written)


class _App(AMQP):
    def __init__(self) -> None:
        from celery import Celery

        super().__init__(Celery())


def test_each_name_that_celery_knows_is_decided() -> None:
    """A name that a new release brings is decided before it is used; none that is gone stays in the table."""
    assert names_of_celery() - set(HEADERS) == set()
    assert set(HEADERS) - names_of_celery() == {"compression"}, "kombu reads that one"


def test_what_a_stock_producer_sends_is_read() -> None:
    """All its headers are there, and a few of them go on to Celery."""
    sent = AMQP.as_task_v2(_App(), "1", RECONSTRUCT_TASK, (), {"image": MARKER})
    assert admit(sent.headers, "application/json", json.dumps(sent.body).encode()) == ([], {"image": MARKER})
    assert {name: each for name, each in passed_on(sent.headers).items() if name != "origin"} == {
        "lang": "py", "task": RECONSTRUCT_TASK, "id": "1", "root_id": "1", "retries": 0
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name, each in HEADERS.items() if isinstance(each, str)])
def test_a_header_that_celery_would_act_on_is_named(name: str) -> None:
    """The operator who reads the reason knows what the sender did."""
    with pytest.raises(Unreadable, match=f"header `{name}`"):
        admit({**GOOD, name: [MARKER]}, "application/json", b"[[], {}, {}]")


@pytest.mark.parametrize("name", [name for name, each in HEADERS.items() if each is None] + ["traceparent", "x-a"])
def test_other_headers_do_not_reach_celery(name: str) -> None:
    """They are allowed, as every producer writes some of them, or a library beside it."""
    headers = {**GOOD, name: {"a": MARKER}}
    assert admit(headers, "application/json", b"[[], {}, {}]") == ([], {})
    assert passed_on(headers) == GOOD


UUID_VALUE = {"__type__": "uuid", "__value__": {"hex": "1b4e28ba2fa11d2883f0b9a761bde3fb"}}
DATE_VALUE = {"__type__": "datetime", "__value__": "2026-11-29T12:00:00+00:00"}


def test_uuids_and_dates_are_read_as_text() -> None:
    """Celery's encoder writes them so for a producer who passes them as they are."""
    fields = {"job_id": UUID_VALUE, "metadata": {"at": [DATE_VALUE]}}
    assert read_arguments(RECONSTRUCT_TASK, json.dumps([[], fields, {}]).encode())[1] == {
        "job_id": "1b4e28ba-2fa1-1d28-83f0-b9a761bde3fb",
        "metadata": {"at": ["2026-11-29T12:00:00+00:00"]},
    }


@pytest.mark.parametrize("kind", ["bytes", "base64", "decimal", "x", None, 5, ["uuid"], {}])
@pytest.mark.parametrize("written", ["x", {"hex": "x"}, {"hex": "0" * 32, "int": 5}, {"bytes": "x"}, None, [1], 5])
def test_nothing_else_is_made_of_a_value(kind: object, written: object) -> None:
    """What kombu would call with it is not called."""
    body = json.dumps([[], {"image": [{"__type__": kind, "__value__": written}]}, {}]).encode()
    with pytest.raises(Unreadable, match="neither a UUID nor a date"):
        read_arguments(RECONSTRUCT_TASK, body)


def test_arguments_are_never_made_of_a_value() -> None:
    """They are fields of a request, of names that it does not have."""
    assert read_arguments(RECONSTRUCT_TASK, json.dumps([[], UUID_VALUE, {}]).encode()) == ([], UUID_VALUE)


def test_a_ticket_is_what_a_step_takes() -> None:
    """It names a version of a job, and nothing else."""
    ticket: dict[str, Any] = {"job_id": str(uuid.uuid4()), "version": 3}
    body = json.dumps([[], ticket, {}]).encode()
    assert admit({"task": "sam3d.poll", "id": "1"}, "application/json", body) == ([], ticket)
    for more in ({"more": 1}, {"version": 0}, {"version": -(2**31) - 1}, {"version": 2**31}, {"version": True}):
        wrong = task("", [[], {**ticket, **more}, {}], task="sam3d.poll")
        with pytest.raises(Unreadable, match="does not name a version"):
            admit(wrong.properties["headers"], "application/json", wrong.body)


def test_celery_takes_a_request_class_and_a_slower_tracer() -> None:
    """What we lean on: if one of these goes, messages reach Celery unchecked, or a slot can be lost."""
    from celery.worker import request, strategy

    assert "symbol_by_name(task.Request)" in inspect.getsource(strategy.default)
    assert "app.use_fast_trace_task" in inspect.getsource(request)


def test_tasks_are_run_by_the_slower_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's worker asks for the other one, by which a slot is lost with whatever escapes it."""
    chosen: list[bool] = []
    monkeypatch.setattr(CeleryConsumer, "update_strategies", lambda each: chosen.append(each.app.use_fast_trace_task))
    consumer: Any = Consumer.__new__(Consumer)
    consumer.app = SimpleNamespace(use_fast_trace_task=True)
    consumer.update_strategies()
    assert chosen == [False]
