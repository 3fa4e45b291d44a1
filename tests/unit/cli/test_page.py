"""The page of a report: whole in itself, bounded, and without a word that a browser would take for more than text."""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from worker.cli.page import ALL_MODELS, LARGEST_MODEL, VIEWER, Sheet, models_of, page
from worker.rules.lifecycle import JobState

NOW = datetime(2026, 11, 29, 21, 45, tzinfo=UTC)
HOSTILE = "</script></title></style><img src=x onerror=alert(1)>\"'--><script>alert(2)</script>$title ${x}\u202e\x1b]0;"
VIEWER_DIGEST = "73a3ebc7a8db1311b2f17be9b526285b5dede6e8c7a6f48eaee4fe1cc7713b3b"


def job(number: int = 1, *, size: int | None = 4, state: str = "succeeded", said: str = "said") -> dict[str, Any]:
    """Return what is known of a job, with a text wherever others write one."""
    names = ("id", "waits_for", "error_code", "error_message", "idempotency_key", "request_id")
    photo = {**dict.fromkeys(("name", "media_type", "sha256"), said), "bytes": 1200, "host": None}
    output = {"id": number, "name": said, "media_type": "model/gltf-binary", "bytes": size, "sha256": said}
    times = {"accepted_at": 0, "submitted_at": 1, "completed_at": 32, "finished_at": 33}
    return {
        **dict.fromkeys(names, said),
        "state": state,
        "cost": Decimal("0.060"),
        "metadata": {said: said, "deep": {said: [said]}},
        "photos": [photo, {**photo, "host": said}],
        "outputs": [] if size is None else [output],
        **{name: NOW - timedelta(minutes=9) + timedelta(seconds=each) for name, each in times.items()},
    }


def written(*jobs: Mapping[str, Any], said: str = "said", content: bytes | None = b"glTF") -> str:
    """Return the page of some jobs."""
    sheet = Sheet(said, NOW, jobs, said, {each["id"]: b"RIFF" for each in jobs})
    return "".join(page(sheet, lambda _: content))


class Reader(HTMLParser):
    """Notes what a browser would see: elements with their attributes' names, addresses, and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.addresses: list[str] = []
        self.contents: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "poster"}]
        self.contents.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        """Note that what follows is not in it."""
        self.contents.append((f"after {tag}", ""))

    def handle_data(self, data: str) -> None:
        """Note what an element holds."""
        self.text += data
        if self.contents:
            tag, before = self.contents[-1]
            self.contents[-1] = (tag, before + data)

    def scripts(self) -> Iterator[str]:
        """Give the scripts and blocks of data, in order."""
        yield from (content for tag, content in self.contents if tag == "script")


def test_what_others_wrote_is_text() -> None:
    """Whatever it says, wherever it stands: the page has the same elements and attributes as with a plain word."""
    hostile = Reader(written(job(said=HOSTILE), job(2, size=LARGEST_MODEL + 1, said=HOSTILE), said=HOSTILE))
    plain = Reader(written(job(), job(2, size=LARGEST_MODEL + 1)))
    assert hostile.elements == plain.elements
    assert hostile.addresses != plain.addresses, "an id is part of an address within the page"
    assert all(each.startswith(("#", "data:image/webp;base64,")) for each in hostile.addresses)
    assert list(hostile.scripts()) == list(plain.scripts())
    assert "<img src=x onerror=alert(1)>" in hostile.text, "it is there to be read"
    assert not {"\u202e", "\x1b"} & set(hostile.text), "and steers nothing"


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_a_row(state: JobState) -> None:
    """Also of a job that has none of its times yet."""
    waiting = {**job(size=None, state=state), **dict.fromkeys(("submitted_at", "completed_at", "finished_at"))}
    shown = Reader(written({**waiting, "cost": None, "metadata": {}, "photos": []}))
    assert f"{state}saidkey said9 min so far" in re.sub(r"2026-11-29 21:36", "", shown.text)


def test_a_page_asks_for_nothing() -> None:
    """No address leads out of it, and the browser is told to follow none, and to run our two scripts alone."""
    text = written(job())
    assert re.findall(r"(?:https?:|@import|url\()\S*", text.replace(viewer(), "")) == []
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = {name: set(values) for name, *values in (each.split() for each in policy.split("; "))}
    *_, first, second = Reader(text).scripts()
    digests = {f"'sha256-{b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in (first, second)}
    assert rules.pop("script-src") == {*digests, "'wasm-unsafe-eval'"}
    assert rules == {
        "default-src": {"'none'"}, "base-uri": {"'none'"}, "form-action": {"'none'"},
        "style-src": {"'unsafe-inline'"}, "img-src": {"data:", "blob:"}, "connect-src": {"data:", "blob:"},
    }  # fmt: skip
    assert text.index("Content-Security-Policy") < text.index("<title>"), "before anything that it rules"


def viewer() -> str:
    """Return the viewer's script."""
    return (files("worker.viewer") / VIEWER).read_text("utf-8")


def test_the_viewer_is_the_one_that_was_published() -> None:
    """With its licence, once in a page, and without what would end a script early."""
    assert hashlib.sha256(viewer().encode()).hexdigest() == VIEWER_DIGEST
    assert "Apache License" in (files("worker.viewer") / "model-viewer-LICENSE").read_text()
    assert written(job(), job(2)).count(viewer()) == 1
    assert not re.search(r"</?script|\r", viewer() + (files("worker.viewer") / "page.js").read_text(), re.IGNORECASE)


def test_a_model_is_inside() -> None:
    """Under the name by which its place in the page asks for it."""
    text = written(job(17), content=b"glTF\x00\xff")
    data, *_ = Reader(text).scripts()
    assert b64decode(data) == b"glTF\x00\xff"
    assert 'id="model-17"' in text
    assert 'class="stage" data-model="model-17"' in text


def test_a_model_that_can_not_be_read_is_left_out() -> None:
    """The page is one without it."""
    text = written(job(17), content=None)
    assert len(list(Reader(text).scripts())) == 2
    assert 'class="stage" data-model="model-17"' in text, "where it is said"


def test_models_have_a_bound_each_and_in_all() -> None:
    """The newest are inside as far as there is room; the others are named, with the way to them, and never read."""
    sizes = [LARGEST_MODEL + 1, *[LARGEST_MODEL] * 4, LARGEST_MODEL - 5, 6, 5]
    jobs = [job(number, size=size) for number, size in enumerate(sizes)]
    assert ALL_MODELS == 5 * LARGEST_MODEL
    assert [model.is_inside for model in models_of(jobs)] == [False, *[True] * 5, False, True]
    read: list[int] = []

    def content(file: Mapping[str, Any]) -> bytes:
        read.append(file["id"])
        return b"glTF"

    text = "".join(page(Sheet("Jobs", NOW, jobs), content))
    assert read == [1, 2, 3, 4, 5, 7]
    assert "2 of 8 models (20 MB) are named here, not shown" in text
    assert text.count("more than this page takes") == 2
    assert len(list(Reader(text).scripts())) == 6 + 2


def test_other_files_are_no_models() -> None:
    """A splat or an archive has no place where it would be turned."""
    others = job()
    others["outputs"] = [{**others["outputs"][0], "media_type": "application/ply"}]
    assert models_of([others]) == []


def test_no_jobs_are_a_page() -> None:
    """Which says so."""
    shown = Reader(written())
    assert "No jobs, as of 2026-11-29 21:45 UTC" in shown.text
    assert not [each for each in shown.elements if each[0] in {"table", "figure"}]


def test_figures_are_counted() -> None:
    """Jobs by state, and what they cost."""
    text = written(job(), job(2), job(3, state="failed", size=None))
    assert re.findall(r"<b>(.*?)</b>", text) == ["2", "1", "0.18"]
