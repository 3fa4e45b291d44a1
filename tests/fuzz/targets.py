"""What meets a stranger's bytes, what it begins with, and the errors that are its answer to bad ones."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from amqp.serialization import decode_properties_basic
from celery.app.task import Context
from kombu.message import Message

from tests.fuzz import seeds
from worker.broker.frames import Bodies, readable_header
from worker.broker.quarantine import letter_id
from worker.broker.topology import RECONSTRUCT_TASK
from worker.errors import InvalidMessage, OutputBroken, OutputUnusable, Sam3dError
from worker.events.heard import read_event
from worker.gate.formats import identify
from worker.intake.admission import passed_on, read_arguments, require_admissible
from worker.intake.asking import parse_ask
from worker.intake.envelope import open_envelope
from worker.intake.fingerprint import raw_fingerprint
from worker.intake.images import image_of, parse_image
from worker.intake.request import parse_request, readable_metadata
from worker.places import AllowedHosts
from worker.rules.addresses import find_addresses
from worker.rules.origin import read_origin, with_properties
from worker.rules.untrusted import MAX_MESSAGE_BYTES, Unreadable
from worker.vendor.answers import read_body, read_numbers, read_result, read_status, read_submitted
from worker.vendor.api import MAX_ANSWER_BYTES
from worker.vendor.history import as_result, read_history, read_page, read_rows
from worker.vendor.paging import Reading
from worker.vendor.quoting import quoted
from worker.vendor.received import Answer, read_date, read_reset, read_time
from worker.vendor.verbatim import shown

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


Steps = Iterator[None]
"""A reader that stops after each of its steps, so that each can be timed."""


@dataclass(frozen=True)
class Target:
    """A reader of a stranger's bytes."""

    read: Callable[[bytes], Steps]
    seeds: Callable[[], Sequence[bytes]]
    answers: tuple[type[Exception], ...] = ()
    largest: int = MAX_MESSAGE_BYTES


def _request(fields: Mapping[str, Any]) -> Steps:
    """Do with the fields of a request all that is done before a row is written."""
    readable_metadata(fields)
    yield
    raw_fingerprint(fields, seeds.RUN)
    yield
    request = parse_request(fields)
    yield
    assert request.fingerprint
    json.dumps(request.parameters, allow_nan=False)


def _task(body: bytes) -> Steps:
    args, fields = read_arguments(RECONSTRUCT_TASK, body)
    yield
    yield from _request({**fields, "args": args} if args else fields)


def _plain(body: bytes, content_type: str = "application/json") -> Steps:
    letter_id("m", None, ("sam3d.inbox", "reconstruct"), body)
    yield
    opened = open_envelope(body, content_type, {}, None)
    yield
    yield from _request(with_properties(opened.fields, {"priority": 3}, is_task=False))


def _cloud_event(body: bytes) -> Steps:
    return _plain(body, "application/cloudevents+json")


def _ask(body: bytes) -> Steps:
    opened = open_envelope(body, "application/json", {}, None, "cancel")
    yield
    parse_ask(with_properties(opened.fields, {"priority": 3}, is_task=False, is_ask=True))


def _event(body: bytes) -> Steps:
    message: Any = Message(body=body.decode("latin-1"), headers={"ce-id": "1", "ce-type": "x", "ce-subject": "y"})
    yield
    read_event(message)


def _headers(body: bytes) -> Steps:
    try:
        headers = json.loads(body)
    except (ValueError, RecursionError):
        return
    yield
    if isinstance(headers, dict):
        require_admissible(headers, "application/json")
        Context(passed_on(headers))
        read_origin(headers, headers, "sam3d")


def _frames(header: bytes) -> Steps:
    if len(header) < 12:  # py-amqp itself asks for that much.
        return
    bodies = Bodies()
    begun = bodies.begin(1, header)
    yield
    decode_properties_basic(begun, 12)
    assert len(bodies.cut(1, header)) <= len(header)
    yield
    assert readable_header(begun)


def _picture(content: bytes) -> Steps:
    with suppress(ValueError):
        image_of(content)
    yield
    parse_image(content.decode("latin-1"))


def _answer(body: bytes) -> Steps:
    for code in (200, 202, 400, 401, 402, 403, 404, 406, 422, 429, 500):
        answer = Answer(code, body)
        for read in (read_submitted, read_body, lambda one: read_status(one, seeds.RUN), _result):
            with suppress(Sam3dError):
                read(answer)
            yield
        assert len(quoted(answer.said, {"prompt": "a cup"})) < 10_000
        yield


def _result(answer: Answer) -> None:
    result = read_result(answer, seeds.RUN)
    assert len(result.addresses) <= 16
    json.dumps(dict(result.run.metrics), allow_nan=False)
    said = json.dumps(result.body, allow_nan=False)
    assert "\\u0000" not in said
    assert "\\ud800" not in said
    json.dumps(shown(result.body, {"prompt": "a cup"}) if result.body else None, allow_nan=False)


def _page(body: bytes) -> Steps:
    rows = read_page(read_history(Answer(200, body))) or ()
    yield
    Reading(NOW, NOW).take(rows)
    yield
    for listed in read_rows(rows, keeps_rows=True).requests.values():
        json.dumps([listed.cost, listed.addresses, as_result(listed).body], allow_nan=False)


def _file(content: bytes) -> Steps:
    yield from _promised(content, "glb", "zip", "")


def _model(content: bytes) -> Steps:
    return _promised(content, "ply", "obj", "stl")


def _promised(content: bytes, *kinds: str) -> Steps:
    for promised in kinds:
        with suppress(OutputBroken, OutputUnusable):
            found = identify(io.BytesIO(content), len(content), promised)
            json.dumps(found.geometry and found.geometry.to_json(), allow_nan=False)
        yield


def _text(content: bytes) -> Steps:
    text = content.decode("latin-1")
    for read in (read_date, read_reset, read_time, AllowedHosts((".segmind.com", "http://127.0.0.1:9100")).refusal):
        read(text)
        yield
    assert all(len(address) < 5000 for address in find_addresses(text))
    json.dumps(read_numbers({text: 1, "cost": text}), allow_nan=False)


TARGETS: Mapping[str, Target] = {
    "messages": Target(_task, seeds.tasks, (Unreadable, InvalidMessage)),
    "plain JSON": Target(_plain, seeds.requests, (Unreadable, InvalidMessage)),
    "asks": Target(_ask, seeds.asks, (Unreadable, InvalidMessage)),
    "envelopes": Target(_cloud_event, seeds.events, (Unreadable, InvalidMessage)),
    "events": Target(_event, seeds.events),
    "headers": Target(_headers, seeds.task_headers, (Unreadable,), largest=2**17),
    "frames": Target(_frames, seeds.content_headers, largest=2**17),
    "images": Target(_picture, seeds.pictures, (ValueError,)),
    "answers": Target(_answer, seeds.answers, largest=MAX_ANSWER_BYTES),
    "history": Target(_page, seeds.pages, (Sam3dError,)),
    "files": Target(_file, seeds.files),
    "models": Target(_model, seeds.models, largest=2**17),
    "texts": Target(_text, seeds.texts, largest=2**17),
}
"""By what the bytes are."""
