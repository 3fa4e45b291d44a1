"""Very many hostile messages in a row: a worker keeps its process, its slots and its memory, and good jobs go on.

``TEST_HOSTILE=1000 TEST_HOSTILE_SEED=8`` sends more of them, or others.
"""

import json
import os
import random
import uuid
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from kombu import Producer
from PIL import Image

from tests.support.broken import PLAIN, TASKS, Broken, nested, task
from tests.support.deployment import Service, start_all
from tests.support.judge import Judge, request_of, tiny_image
from tests.support.messages import publish, publisher
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.intake.admission import HEADERS
from worker.intake.request import ReconstructionRequest
from worker.rules.untrusted import MESSAGE

MESSAGES = int(os.environ.get("TEST_HOSTILE", "300"))
SEED = int(os.environ.get("TEST_HOSTILE_SEED", "7"))
GROWTH_MIB = 100
MEBIBYTE = 2**20

Chance = random.Random
Fields = dict[str, Any]


def large_text(chance: Chance) -> Fields:
    """Make one value as large as a message can be, of characters that take one to four bytes."""
    text = chance.choice(["A", "é", "汽", "😀"]) + "A" * chance.randrange(14 * MEBIBYTE, 15 * MEBIBYTE)
    return {chance.choice([*ReconstructionRequest.model_fields, "x"]): text}


def large_image(chance: Chance) -> Fields:
    """Make a photo of nearly 10 MiB that is none, or begins as one."""
    begins = chance.choice(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"II*\0\x08\0\0\0", b"GIF89a", b"BM"]
    )
    content = begins + chance.randbytes(2**16) * 150
    return {"image": b64encode(content).decode()}


def many_values(chance: Chance) -> Fields:
    """Make as many values as are read at all."""
    value: object = chance.choice([{}, [], {"a": 1}, 1.5, None, "x", [[]]])
    name = chance.choice(["metadata", "point_coords", "bounding_box", "image", "x"])
    return {"image": tiny_image(), name: [value] * (MESSAGE.values // 4 - 9)}


def many_names(chance: Chance) -> Fields:
    """Make as many names as are read at all, none of which a request has."""
    names = {f"{chance.random()}": 0 for _ in range(chance.randrange(MESSAGE.values - 9))}
    return {"image": tiny_image(), "metadata": names} if chance.random() < 0.5 else names


def wrong_values(chance: Chance) -> Fields:
    """Make fields of which some have what no request has."""
    odd = [
        None,
        5,
        -1,
        1e308,
        10**400,
        True,
        "",
        "x",
        "\0",
        "\ud800",
        [],
        {},
        [[]],
        nested(40),
        {"a": nested(50)},
        "[" * 500,
    ]
    fields: Fields = {name: chance.choice(odd) for name in ReconstructionRequest.model_fields if chance.random() < 0.5}
    return {"image": tiny_image(), **fields}


FIELDS: dict[Callable[[Chance], Fields], int] = {
    large_text: 3, large_image: 3, many_values: 4, many_names: 2, wrong_values: 30
}  # fmt: skip


def of_fields(chance: Chance) -> tuple[str, Broken]:
    """Send fields that no request has, by one of the ways in."""
    fields = chance.choices(list(FIELDS), list(FIELDS.values()))[0](chance)
    if chance.random() < 0.5:
        return "sam3d.requests", task("", [[], fields, {}])
    return "sam3d.inbox", Broken("", json.dumps(fields, ensure_ascii=chance.random() < 0.5).encode("utf-8", "replace"))


def of_headers(chance: Chance) -> tuple[str, Broken]:
    """Send a task with headers that Celery would act on."""
    values = [None, 5, "x", [], [5], {}, {"a": 1}, ["x", None], [[5]], b"\xff", "x" * 500, [{"task": "x"}], True]
    headers: dict[str, object] = {"task": "sam3d.reconstruct", "id": str(uuid.UUID(int=chance.getrandbits(128)))}
    headers |= {name: chance.choice(values) for name in chance.sample(list(HEADERS), 3)}
    return "sam3d.requests", Broken("", b'[[], {"image": "x"}, {}]', {"headers": headers})


def of_shapes(chance: Chance) -> tuple[str, Broken]:
    """Send what is no message of ours."""
    way, shapes = chance.choice([("sam3d.inbox", PLAIN), ("sam3d.requests", TASKS)])
    return way, chance.choice(shapes)


def send_hostile(producer: Producer, chance: Chance) -> None:
    """Send one message, to one of the ways in."""
    make = chance.choices([of_fields, of_headers, of_shapes], [2, 2, 1])[0]
    queue, message = make(chance)
    way = ("sam3d.inbox", "reconstruct") if queue == "sam3d.inbox" else ("", queue)
    publish(producer, *way, message)


def memory(pid: int, name: str) -> float:
    """Read a figure of a process's memory, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition(f"{name}:")[2].split()[0]) / 1024


def test_hostile_messages_in_a_row(deployment: Service, judge: Judge, rabbitmq: PrivateRabbit) -> None:
    """The process is the same, nothing is left in its hands, it is not larger, and the jobs between succeed."""
    start_all(deployment)
    worker, chance = deployment.processes["worker"], random.Random(SEED)
    judge.check(judge.submit(4))
    Path(f"/proc/{worker.pid}/clear_refs").write_text("5")  # Its peak is counted from here on.
    idle = memory(worker.pid, "VmRSS")
    good: list[str] = []
    with publisher(deployment) as producer:
        for number in range(MESSAGES):
            send_hostile(producer, chance)
            if number % 50 == 0:
                good += judge.submit(2)
    vhost = deployment.environment["SAM3D_BROKER_URL"].rpartition("/")[2]

    def are_read() -> bool:
        left = {queue.name: queue.messages for queue in rabbitmq.queues(vhost)}
        return not left["sam3d.requests"] and not left["sam3d.inbox"]

    wait_until(are_read, "each message was acknowledged", within=300)
    judge.check(good, within=300)
    assert worker.poll() is None
    grown = memory(worker.pid, "VmHWM") - idle
    print(f"{MESSAGES} hostile messages, seed {SEED}: {idle:.0f} MiB idle, at most {grown:.0f} MiB more")
    assert grown < GROWTH_MIB
    judge.check(judge.submit(8))


LARGEST_PHOTO = 10 * MEBIBYTE - 1000


def photo_of(chance: Chance, size: int) -> str:
    """Make a picture of so many bytes, of which no two are alike."""
    with BytesIO() as file:
        Image.new("RGB", (8, 8)).save(file, "PNG")
        return b64encode(file.getvalue() + chance.randbytes(size - len(file.getvalue()))).decode()


def test_the_largest_photos_at_once(deployment: Service, judge: Judge) -> None:
    """Eight of 10 MiB at once are eight jobs, in a process that has as many threads."""
    deployment.start("scheduler", "scheduler")
    deployment.start("worker", "worker", "--concurrency", "8")
    wait_until(lambda: "worker_ready" in deployment.log_of("worker"), "the worker consumes")
    worker, chance = deployment.processes["worker"], random.Random(SEED)
    judge.check(judge.submit(4))
    Path(f"/proc/{worker.pid}/clear_refs").write_text("5")
    idle = memory(worker.pid, "VmRSS")
    ids = [str(uuid.UUID(int=chance.getrandbits(128))) for _ in range(16)]
    judge.send([request_of(job_id, image=photo_of(chance, LARGEST_PHOTO)) for job_id in ids])
    judge.check(ids, within=300)
    grown = memory(worker.pid, "VmHWM") - idle
    print(f"16 photos of 10 MiB: {idle:.0f} MiB idle, at most {grown:.0f} MiB more")
    assert grown < 2.5 * GROWTH_MIB
