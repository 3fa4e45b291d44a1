"""Messages that hold no request, each with the reason that is given for it: as unit tests, and over the wire."""

import json
import uuid
import zlib
from dataclasses import dataclass, field
from struct import pack
from typing import Any

from amqp.basic_message import Message as Sent
from amqp.serialization import decode_properties_basic
from kombu.message import Message

from worker.broker.frames import UNREADABLE, Bodies
from worker.rules.asks import ASK_TASKS

SECRET_PROMPT = "a-prompt-that-nobody-may-log"
MEBIBYTE = bytes(2**20)


def bomb(mebibytes: int = 200) -> bytes:
    """Return some bytes that unpack to very many."""
    packer = zlib.compressobj(level=1)
    return b"".join(packer.compress(MEBIBYTE) for _ in range(mebibytes)) + packer.flush()


BOMB = bomb()


@dataclass(frozen=True)
class Broken:
    """A message that holds no request, and the reason that is given for it."""

    why: str
    body: bytes = b"{}"
    properties: dict[str, Any] = field(default_factory=dict)


def task(why: str, body: object = None, properties: dict[str, Any] | None = None, **headers: Any) -> Broken:
    """Make a broken task message: everything about it is right but what is given."""
    whole = [[], {}, {}] if body is None else body
    written = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
    right = {"task": "sam3d.reconstruct", "id": str(uuid.uuid4())}
    return Broken(why, written, {"headers": {**right, **headers}, **(properties or {})})


def nested(levels: int) -> object:
    """Return lists within lists."""
    return [nested(levels - 1)] if levels else []


def received(message: Broken) -> Message:
    """Return a message as our consumers have it of the wire, whose frames were read tolerantly."""
    said = {"content_type": "application/json", "content_encoding": "utf-8", **message.properties}
    sent: Any = Sent(application_headers=said.pop("headers", {}), **said)
    bodies = Bodies()
    header = bodies.begin(1, pack(">HxxQ", 60, len(message.body)) + bytes(sent._serialize_properties()))
    properties: dict[str, Any] = decode_properties_basic(header, 12)[0]
    body: Any = bodies.cut(1, message.body)
    headers = properties.get("application_headers", {})
    return Message(body=body, headers=headers, properties=properties, content_type=properties.get("content_type"))


PLAIN_ON_THE_WIRE = [
    Broken("the body is not JSON", b"not json " + SECRET_PROMPT.encode()),
    Broken("its body is compressed", BOMB, {"headers": {"compression": "application/x-gzip"}}),
    Broken("the body is not JSON", b"{", {"headers": {"CC": ["sam3d.inbox", "reconstruct"]}}),
    Broken("the body is not JSON", b"{", {"headers": {"x-sam3d-seen-at": "y" * 130_960}}),
]
"""Those of which a broker says more than a unit test: what is told, unpacked, copied, or leaves our marks no room."""

PLAIN = [
    *PLAIN_ON_THE_WIRE,
    Broken("the body is not JSON", b""),
    Broken("the body is not JSON", b"\xff\xfe"),
    Broken("the body is not JSON", b"[" * 100_000),
    Broken("the body is not a JSON object", b"[1, 2]"),
    Broken("the body is not a JSON object", json.dumps(SECRET_PROMPT).encode()),
    Broken("the body is not a JSON object", b"null"),
    Broken("the body is not a JSON object", b"17"),
    Broken("the body is larger than 16 MiB", b'{"image": "' + b"A" * 20_000_000 + b'"}'),
    Broken("the CloudEvent's type", b'{"type": "x", "data": {}}', {"content_type": "application/cloudevents+json"}),
    Broken("the CloudEvent has no source", b"{}", {"headers": {"ce-type": "sam3d.reconstruction.requested"}}),
    Broken("its body is compressed", b"{}", {"headers": {"compression": "nope"}}),
    Broken("its content encoding", b"A" * 1_000_000, {"content_encoding": "punycode"}),
    Broken("its properties can't be decoded", b"{}", {"message_id": b"\xff\xfe"}),
    Broken("its properties can't be decoded", b"{}", {"content_type": b"\xff\xfe"}),
    Broken("the name of a header", b"{}", {"headers": {b"\xff": 1}}),
    Broken("it has a header", b"{}", {"headers": {UNREADABLE: SECRET_PROMPT}}),
    Broken("the body is not JSON", b"{", {"headers": {"x": "y" * 129_900}}),
]
TASKS_ON_THE_WIRE = [
    task("its body is compressed", BOMB, compression="application/x-gzip"),
    task("its properties can't be decoded", properties={"correlation_id": b"\xff\xfe"}),
    task("it has no task id", id=None, CC=["sam3d.requests"]),
    Broken("it has no task id", b"[]", {"headers": {"task": "sam3d.reconstruct", "x-sam3d-seen-at": "y" * 130_940}}),
]
TASKS = [
    *TASKS_ON_THE_WIRE,
    task("it has no task id", id=None),
    task("it has no task id", id=""),
    task("it has no task id", id=7),
    task("its task is unknown", task=None),
    task("its task is unknown", task="sam3d.unknown"),
    task("its task is unknown", task=["sam3d.reconstruct"]),
    task("its task is unknown", task="celery.backend_cleanup"),
    task("its content type", properties={"content_type": "application/x-python-serialize"}),
    task("the body is not JSON", b"{"),
    task("the body is not JSON", b"\xff"),
    task("the body is not JSON", b"[" * 100_000),
    task("the body is nested too deep", [[], {"metadata": nested(150)}, {}]),
    task("the body is not [args, kwargs, embed]", SECRET_PROMPT),
    task("the body is not [args, kwargs, embed]", b"null"),
    task("the body is not [args, kwargs, embed]", 17),
    task("the body is not [args, kwargs, embed]", [{}, [], {}]),
    task("the body holds an object", [[], {"image": {"__type__": "datetime", "__value__": "x"}}, {}]),
    task("the body holds an object", [[], {"image": {"__type__": [], "__value__": "x"}}, {}]),
    task("it has an argument `self`", [[], {"self": 1}, {}]),
    task("it is part of a workflow", [[], {}, {"chain": "x"}]),
    task("it is part of a workflow", chain=[5]),
    task("it is part of a workflow", chain="x", parent_id="p"),
    task("it is part of a workflow", callbacks=[{"task": "x", "options": {"queue": "sam3d.dead"}}]),
    task("it is part of a workflow", callbacks={"a": 1}),
    task("it is part of a workflow", errbacks=[None]),
    task("it is part of a workflow", chord={"task": "x"}),
    task(
        "it is part of a workflow", [[], {"job_id": str(uuid.uuid4()), "version": 1}, {}], task="sam3d.poll", chain=[5]
    ),
    task("its header `root_id` is not text", root_id=5),
    task("its header `parent_id` is not text", parent_id=["x"]),
    task("its header `group_index` is not a whole number", group_index="x"),
    task("its header `shadow` is longer", shadow="x" * 256),
    task("the body holds more than", [[], {"metadata": [{}] * 50_001}, {}]),
    task("it has a time limit", timelimit=["soon", {}]),
    task("it has a time limit", timelimit=[None]),
    task("it has a time limit", soft_time_limit=1),
    task("it has an eta", eta={}),
    task("it has an eta", eta="2999-01-01T00:00:00+00:00"),
    task("it expires", expires="2001-01-01T00:00:00+00:00"),
    task("its number of retries", retries="many"),
    task("it does not name a version", [[], {"job_id": "x", "version": 1}, {}], task="sam3d.poll"),
    *(
        broken
        for name in ASK_TASKS
        for broken in (
            task("it has no task id", id=None, task=name),
            task("its task is unknown", task=[name]),
            task("its content type", properties={"content_type": "text/plain"}, task=name),
            task("the body is not JSON", b"{", task=name),
            task("the body is not [args, kwargs, embed]", {"job_id": str(uuid.uuid4())}, task=name),
            task("the body is nested too deep", [[], {"job_id": nested(150)}, {}], task=name),
            task("the body holds more than", [[], {"job_id": [{}] * 50_001}, {}], task=name),
            task("the body holds an object", [[], {"job_id": {"__type__": "uuid", "__value__": 1}}, {}], task=name),
            task("it has an argument `self`", [[], {"self": 1}, {}], task=name),
            task("it is part of a workflow", [[], {}, {"chain": "x"}], task=name),
            task("it is part of a workflow", chord={"task": "x"}, task=name),
            task("it has an eta", eta="2999-01-01T00:00:00+00:00", task=name),
            task("it expires", expires="2001-01-01T00:00:00+00:00", task=name),
        )
    ),
    task("the body is larger than 16 MiB", [[], {"image": "A" * 20_000_000}, {}]),
]
