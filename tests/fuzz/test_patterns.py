"""Text of strangers takes no time to look at, however long it is and whatever it is made of."""

import ast
import contextlib
import gc
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from worker.gate.formats import identify
from worker.intake.images import parse_image
from worker.intake.request import derived_job_id, given_job_id, parse_request, readable_metadata
from worker.outputs.download import _following
from worker.outputs.fetching import read_links
from worker.outputs.object_store import told
from worker.outputs.serving import _with_one_range
from worker.places import AllowedHosts
from worker.rules.addresses import promised, read_addresses
from worker.rules.request_id import canonical_id, is_request_id, written_like
from worker.rules.signing import SHORTEST_KEY, Signer
from worker.telemetry.legible import legible
from worker.vendor.answers import read_numbers, whose
from worker.vendor.history import created, mark_inputs, read_rows
from worker.vendor.quoting import quoted
from worker.vendor.received import Answer, read_date, read_reset
from worker.vendor.refusals import refused_read, refused_submit
from worker.vendor.verbatim import kept, shown

BUDGET = 0.5
"""Seconds of CPU for a mebibyte; it was half an hour."""

SIZES = [2**10, 2**16, 2**20]
"""Characters; what grows with their square is seen before the last one."""

UNITS = [
    "a", "A", "1", "f", "-", "_", ".", "/", ":", "?", "=", "@", "+", "~", "(", "*", "\\", "'", '"', "{", "[", ",", "\0",
    " ", "\t", "\n", "\u200b", "é", "e\u0301", "\u0316\u0301", "\ufdfa", "\u0130", "\ud800", "😀", "…", "… x",
    "://", "%3a", "%40", "a.", "a/", "a.a/", "a?", "a?=", "a@", "a ", "a-", "1.", "\\n", "\\\\", "\\u0000", "x: ",
    "data:", "data:a/a;a=a", "SG_", "/requests/", "http://a", "the parameter ", "credits ", "image ", "Jan ", "=?a?b?",
    "2026-01-01", "0:", "../", ";base64,", ".png", "#",
]  # fmt: skip
"""What nasty text is made of: something of each class of characters, and what patterns look for."""

HOSTS = AllowedHosts((".example", "a"))


def answered(read: Callable[[Answer], object], code: int) -> Callable[[str], object]:
    """Return what reads an answer that says a text wherever it can."""
    names = ("error", "error_description", "message", "detail")
    return lambda text: read(Answer(code, json.dumps(dict.fromkeys(names, text[: len(text) // 4])).encode()))


def redirected(text: str) -> object:
    """Follow a redirect to a text."""
    location = text.encode("ascii", "replace").decode().replace("\n", " ")
    with contextlib.suppress(httpx.InvalidURL, UnicodeError):
        return _following(httpx.Response(302, headers={"location": location}, request=httpx.Request("GET", "http://a")))
    return None


def row(text: str) -> Mapping[str, object]:
    """Return a row of the history that says a text wherever it can."""
    names = ("model_name", "user_id", "error", "generation_url", "model_status", "created_at", "credits_deduction")
    return {**dict.fromkeys(names, text), "request_id": "run-1", "model_created": "2026-01-01T00:00:00Z"}


READERS: Mapping[str, Callable[[str], object]] = {
    "fetching": lambda text: read_links([{"name": text, "sha256": text, "bytes": 1, "url": text, "expires_at": text}]),
    "object_store": lambda text: told(ValueError(text)),
    "serving": lambda text: _with_one_range({"HTTP_RANGE": text, "HTTP_IF_RANGE": text}, 10),
    "signing": lambda text: Signer([b"k" * SHORTEST_KEY]).verified(text, text, 0),
    "quoting": lambda text: quoted(text, {"prompt": "a red cup"}),
    "quoting, of itself": lambda text: quoted(text, {"prompt": text[:2000]}),
    "quoting, of nearly itself": lambda text: quoted(text, {"prompt": text[:1999] + "!"}),
    "verbatim": lambda text: shown(kept({text: [text]}, "result"), {"prompt": "a red cup"}),
    "verbatim, in pieces": lambda text: kept(
        {"texts": [text[at : at + 2**12] for at in range(0, len(text), 2**12)]}, "result"
    ),
    "received, a date": read_date,
    "received, a reset": read_reset,
    "received, words": answered(lambda answer: (answer.said, answer.message), 500),
    "refusals, of a submit": answered(refused_submit, 402),
    "refusals, of a way to call": answered(refused_submit, 406),
    "refusals, of a read": answered(refused_read, 404),
    "answers, a link": lambda text: whose({"status_url": text, "response_url": text}),
    "request_id": lambda text: (is_request_id(text), canonical_id(text), written_like(text, text)),
    "answers, a name": lambda text: read_numbers({text: 1}),
    "addresses": lambda text: (read_addresses([text, "https://" + text]), promised(text), promised("https://" + text)),
    "history, a time": lambda text: created({"created_at": text}),
    "history, a row": lambda text: read_rows([row(text)]),
    "history, inputs": lambda text: mark_inputs({"image": text, "prompt": text, "seed": [text]}),
    "places": lambda text: (HOSTS.refusal(text), HOSTS.refusal("https://" + text), HOSTS.refusal(f"https://a/{text}")),
    "download": redirected,
    "images": parse_image,
    "images, a data URI": lambda text: parse_image("data:" + text),
    "images, a URL": lambda text: parse_image("http://" + text),
    "legible": legible,
    "request, a name": lambda text: parse_request({text: 1}),
    "request, a prompt": lambda text: parse_request({"image": "http://a", "prompt": text[: 2**17]}),
    "request, metadata": lambda text: readable_metadata({"metadata": {text[: 2**17]: ""}}),
    "request, an id": lambda text: (
        given_job_id({"job_id": text}),
        parse_request({"image": "http://a", "job_id": text}),
    ),
    "request, a box": lambda text: parse_request({"image": "http://a", "bounding_box": text}),
    "messages, points": lambda text: parse_request({"image": "http://a", "point_coords": text}),
    "request, a name for it": lambda text: derived_job_id("amqp", text.encode("ascii", "replace").decode()),
    "formats": lambda text: identify(io.BytesIO(text.encode("utf-8", "replace")), len(text), promised("a." + text)),
}
"""What meets text of strangers, by its module."""

TRUSTED = {
    "urls": "the operator's settings",
    "kinds": "the operator's settings",
    "given": "our own sentences",
    "prepare": "the producer's own arguments",
}
"""Modules whose patterns meet no stranger's text."""


def texts(size: int) -> Iterator[str]:
    """Give texts of a size: repeats of each unit, that end otherwise."""
    yield from ((unit * (size // len(unit) + 1))[: size - 1] + "!" for unit in UNITS)


@pytest.fixture
def _no_garbage() -> Iterator[None]:
    """Leave out of the time what it takes to look through all that other tests have made."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_garbage")
@pytest.mark.parametrize("name", READERS)
def test_no_text_takes_long(name: str) -> None:
    """The lock of the interpreter is held meanwhile, so that a process stands still."""
    for text in (text for size in SIZES for text in texts(size)):
        began = time.thread_time()
        with contextlib.suppress(Exception):
            READERS[name](text)
        assert time.thread_time() - began < BUDGET, (text[:20], len(text))


def test_all_patterns_are_tried() -> None:
    """Whoever writes another one decides whose text it meets."""
    files = [path for path in Path("worker").rglob("*.py") if "simulator" not in path.parts]
    using = {path.stem for path in files if _matches(path)}
    assert using == {name.partition(",")[0] for name in READERS} & using | TRUSTED.keys()


def _matches(path: Path) -> bool:
    imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)]
    return any(alias.name == "re" for node in imported for alias in node.names)
