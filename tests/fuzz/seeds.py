"""What the fuzzer begins with: one or two good examples of each kind of bytes that a stranger may send."""

import io
import json
import struct
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from amqp.basic_message import Message as WireMessage
from celery.app.amqp import AMQP
from celery.app.base import Celery
from PIL import Image

from tests.support.containers import DOCUMENT, described
from tests.support.mutilated import GLBS
from worker.broker.topology import RECONSTRUCT_TASK
from worker.intake.envelope import REQUESTED
from worker.rules.asks import ASK_TYPES
from worker.simulator.artifacts import make_files
from worker.simulator.extras import extra_file
from worker.simulator.model import Hint

RUN = "8c9b2c5e-7a34-4b0c-9a65-1f6c1c0f3d5a"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def written(value: object) -> bytes:
    """Write a value as JSON."""
    return json.dumps(value).encode()


@cache
def pictures() -> Sequence[bytes]:
    """Return a small picture of each format."""

    def saved(kind: str) -> bytes:
        with io.BytesIO() as file:
            Image.new("RGB", (9, 7), "red").save(file, kind)
            return file.getvalue()

    return [saved(kind) for kind in FORMATS]


FIELDS: Mapping[str, Any] = {
    "image": b64encode(b"\x89PNG").decode(),
    "mask": "https://example.com/mask.png",
    "prompt": "a cup é",
    "bounding_box": [1, 2, 30, 40],
    "point_coords": "[[1, 2], [3.5, 4]]",
    "seed": 7,
    "include_artifacts": True,
    "idempotency_key": "order-17",
    "job_id": RUN,
    "priority": 5,
    "metadata": {"order": [1, {"a": None}], "at": {"__type__": "uuid", "__value__": {"hex": "0" * 32}}},
}


def requests() -> Sequence[bytes]:
    """Return requests with a picture of each format."""
    return [written({**FIELDS, "image": b64encode(picture).decode()}) for picture in pictures()]


def asks() -> Sequence[bytes]:
    """Return what asks about a job, and one that asks too much."""
    return [written({"job_id": RUN}), written({"job_id": RUN, "pay_again": True})]


def tasks() -> Sequence[bytes]:
    """Return bodies of task messages."""
    return [b"[[], " + body + b', {"callbacks": null, "chain": null}]' for body in requests()]


def events() -> Sequence[bytes]:
    """Return CloudEvents in their structured form, and ours."""
    event = {"specversion": "1.0", "type": REQUESTED, "source": "urn:shop", "id": "7", "data": dict(FIELDS)}
    ask = {**event, "type": next(iter(ASK_TYPES)), "data": {"job_id": RUN}}
    told = {"job_id": RUN, "state": "succeeded", "metadata": {}, "outputs": [{"name": "model.glb"}]}
    return [written(event), written(ask), written(told)]


def task_headers() -> Sequence[bytes]:
    """Return the headers that a stock producer writes."""
    amqp: Any = AMQP(Celery(set_as_current=False))
    return [written(amqp.as_task_v2("1", RECONSTRUCT_TASK, (), {}).headers)]


def content_headers() -> Sequence[bytes]:
    """Return the content headers of messages as they are on the wire."""
    properties = {"content_type": "application/json", "message_id": "m", "priority": 3, "application_headers": {"a": 1}}
    wire: Any = WireMessage(b"{}", **properties)
    return [b"\0\x3c\0\0" + bytes(7) + b"\2" + wire._serialize_properties()]


def answers() -> Sequence[bytes]:
    """Return what the vendor answers."""
    links = {"status_url": f"https://api.segmind.com/v2/requests/{RUN}/status"}
    run = {"request_id": RUN, "status": "COMPLETED", **links, "metrics": {"cost": 0.06, "queue_time": 1.5}}
    return [
        written({"request_id": RUN, "status": "QUEUED", **links}),
        written(
            {**run, "output": ["https://files.segmind.com/a/model.glb?sig=1", {"zip": "https://x.segmind.com/a.zip"}]}
        ),
        written({"request_id": RUN, "status": "FAILED", "error": "no object: 'a cup' https://x/y?sig=1"}),
        written({"error": "Not enough credits. You have 0.1 credits, but need 0.5", "message": "x"}),
        written({"credits": 12.5, "free-credits": 1}),
    ]


def pages() -> Sequence[bytes]:
    """Return pages of the request history."""
    row = {
        "request_id": RUN,
        "model_created": "2026-11-29T12:00:00.123",
        "model_status": "COMPLETED",
        "model_name": "sam-3d-objects",
        "request_body": dict(FIELDS),
        "credits_deduction": 0.06,
        "user_id": "u",
        "error": None,
        "generation_url": ["https://files.segmind.com/a/model.glb"],
    }
    return [written([row, {**row, "request_id": "x"}]), written({"data": [row], "total": 1}), written(row)]


@cache
def files() -> Sequence[bytes]:
    """Return a GLB and a ZIP as the simulator makes them, and small files of other kinds."""
    made = make_files(Path("worker/photos/cat.png").read_bytes(), Hint(), 5)
    return [
        small_glb(),
        *(path.read_bytes() for path in sorted(GLBS.glob("*.glb"))),
        made.zip[:60_000] + made.zip[-60_000:],
        made.zip,
        extra_file("splat.ply")[0],
        *pictures(),
        written(DOCUMENT),
    ]


def models() -> Sequence[bytes]:
    """Return a triangle in each form of a PLY, as OBJ and as STL, and splats."""
    header = b"ply\nformat %s 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    header += b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    corners, wide = struct.pack("<9f", *CORNERS), struct.pack(">9f", *CORNERS)
    stl = b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    return [
        header % b"ascii" + b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n",
        header % b"binary_little_endian" + corners + struct.pack("<B3i", 3, 0, 1, 2),
        header % b"binary_big_endian" + wide + struct.pack(">B3i", 3, 0, 1, 2),
        extra_file("splat.ply")[0],
        extra_file("scene.obj")[0],
        bytes(80) + b"\1\0\0\0" + bytes(12) + corners + b"\0\0",
        stl + b"endsolid a\n",
    ]


CORNERS = (0, 0, 0, 1, 0, 0, 0, 1, 0)


def small_glb() -> bytes:
    """Return a GLB with next to nothing in it."""
    return described(DOCUMENT)


def texts() -> Sequence[bytes]:
    """Return dates, addresses and other words of a vendor's."""
    moment = datetime(2026, 11, 29, 12, tzinfo=UTC)
    words = [
        "Sun, 29 Nov 2026 12:00:00 GMT",
        moment.isoformat(),
        "1764417600",
        "https://a.segmind.com:443/model.glb?x#y",
    ]
    return [word.encode() for word in words]
