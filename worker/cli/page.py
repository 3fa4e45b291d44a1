"""Pure: a page of jobs and their models, whole in itself; what others wrote is text in it, whatever it says."""

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from worker.cli.cells import Job, cost, names, table, text, time, took
from worker.cli.show import sized
from worker.rules.lifecycle import JobState

LARGEST_MODEL = 20_000_000
ALL_MODELS = 100_000_000
"""Bytes of models that a page takes, of one and in all: a phone reads it too."""

GLB = "model/gltf-binary"


@dataclass(frozen=True)
class Sheet:
    """What a page shows: the jobs, newest first, and a small picture (WebP) of the photo where there is one."""

    title: str
    seen_at: datetime
    jobs: Sequence[Job]
    note: str = ""
    photos: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A model of a job, and whether the page has it inside."""

    job: Job
    file: Mapping[str, Any]
    is_inside: bool

    @property
    def key(self) -> str:
        """Its name in the page."""
        return f"model-{int(self.file['id'])}"


def page(sheet: Sheet, content: Callable[[Mapping[str, Any]], bytes | None]) -> Iterator[str]:
    """Write a page, piece by piece; ``content`` reads a model's file, or says that it can't be read (None)."""
    models = models_of(sheet.jobs)
    before, after = _part("page.html").split("$models")
    yield Template(before).substitute(
        policy=policy(),
        title=text(sheet.title),
        subtitle=_subtitle(sheet),
        style=_part("page.css"),
        figures="\n".join(_figures(sheet.jobs)),
        notes="\n".join(_notes(sheet, models)),
        cards=_cards(sheet, models),
        table=table(sheet.jobs, sheet.seen_at),
    )
    for model in models:
        if model.is_inside and (found := content(model.file)) is not None:
            yield f'<script type="text/plain" id="{model.key}">{b64encode(found).decode()}</script>\n'
    yield Template(after).substitute(viewer=_part(VIEWER), script=_part("page.js"))


VIEWER = "model-viewer-umd.min.js"


@cache
def _part(name: str) -> str:
    return (files("worker.viewer") / name).read_text("utf-8")


def policy() -> str:
    """Return what a browser may do with a page: run its two scripts, and read what is inside; no request at all."""
    digests = (hashlib.sha256(_part(name).encode()).digest() for name in (VIEWER, "page.js"))
    scripts = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts} 'wasm-unsafe-eval'",  # The viewer unpacks compressed meshes with it.
            "style-src 'unsafe-inline'",  # The viewer writes its own.
            "img-src data: blob:",
            "connect-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def models_of(jobs: Iterable[Job]) -> list[Model]:
    """Return the models of jobs, and whether each is inside: the newest, as far as there is room."""
    models, room = list[Model](), ALL_MODELS
    for job in jobs:
        for file in job["outputs"]:
            if file["media_type"] == GLB:
                is_inside = file["bytes"] <= min(room, LARGEST_MODEL)
                room -= file["bytes"] if is_inside else 0
                models.append(Model(job, file, is_inside))
    return models


def _subtitle(sheet: Sheet) -> str:
    count = len(sheet.jobs)
    which = {0: "No jobs", 1: "One job"}.get(count, f"The {count} newest jobs")
    return f"{which}, as of {time(sheet.seen_at)} UTC"


def _figures(jobs: Sequence[Job]) -> Iterator[str]:
    counts = Counter(job["state"] for job in jobs)
    for state in JobState:
        if counts[state]:
            yield f'<li><b>{counts[state]}</b><span class="state {state}">{state}</span></li>'
    if costs := [job["cost"] for job in jobs if job["cost"] is not None]:
        yield f"<li><b>{text(sum(costs))}</b><span>USD</span></li>"


def _notes(sheet: Sheet, models: Sequence[Model]) -> Iterator[str]:
    if sheet.note:
        yield f'<p class="note">{text(sheet.note)}</p>'
    if left_out := [model for model in models if not model.is_inside]:
        size = sized(sum(model.file["bytes"] for model in left_out))
        yield (
            f'<p class="note">{len(left_out)} of {len(models)} models ({size})'
            f" are named here, not shown: a page takes models of up to {sized(LARGEST_MODEL)}, and {sized(ALL_MODELS)}"
            " in all. <code>sam3d output ID</code> writes them.</p>"
        )


def _cards(sheet: Sheet, models: Sequence[Model]) -> str:
    if not models:
        return ""
    only = " has-one" if len(models) == 1 else ""
    cards = "\n".join(_card(model, sheet.photos.get(model.job["id"])) for model in models)
    return f'<section class="cards{only}" aria-label="Models">\n{cards}\n</section>'


def _card(model: Model, photo: bytes | None) -> str:
    job, size = model.job, sized(model.file["bytes"])
    saves = f'<a href="#" download="{text(job["id"])}.glb" data-saves="{model.key}">save</a>' if model.is_inside else ""
    facts = [took(job), cost(job), size]
    spans = "".join(f"<span>{each}</span>" for each in facts if each)
    return f"""<figure class="card">
<div class="views">{_picture(photo)}{_stage(model)}</div>
<figcaption><div class="facts">{spans}{saves}</div>
<a class="quiet" href="#job-{text(job["id"])}"><code>{text(job["id"])}</code></a>{names(job)}</figcaption>
</figure>"""


def _picture(photo: bytes | None) -> str:
    return f'<img alt="The photo" src="data:image/webp;base64,{b64encode(photo).decode()}">' if photo else ""


ENLARGE = (
    '<button aria-label="Enlarge"><svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" '
    'stroke-width="1.6" stroke-linecap="round"><path d="M9.5 2H14v4.5M6.5 14H2V9.5M14 2 9 7M2 14l5-5"/></svg></button>'
)


def _stage(model: Model) -> str:
    """Write where a model is turned, or why it is not here."""
    if not model.is_inside:
        said = f"{sized(model.file['bytes'])}, more than this page takes:"
        return f'<div class="stage"><p>{said}<br><code>sam3d output {text(model.job["id"])}</code></p></div>'
    said = "<noscript>A model is drawn by a script, and scripts are off.</noscript>"
    name = f"3D model of job {text(model.job['id'])}"
    return f'<div class="stage" data-model="{model.key}" data-name="{name}"><p>{said}</p>{ENLARGE}</div>'
