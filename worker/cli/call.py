"""``call``: one run without anything around it, neither database nor broker; it asks before it pays."""

import os
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import typer
from rich.progress import TimeElapsedColumn

from worker.cli import given, progress
from worker.cli.paid_run import Call, followed, through_v1, through_v2
from worker.cli.show import note, print_json, print_values, sized, writable_folder
from worker.config.environment import Settings, load_settings
from worker.errors import ConfigurationError, InvalidMessage
from worker.intake.request import parse_request
from worker.outputs.download import require_room
from worker.rules.request_id import is_request_id
from worker.vendor.api import Vendor
from worker.vendor.following import Patience

PRICE = "about 0.05 to 0.07 USD"
"""Of a run, as the vendor publishes it."""

LONGEST_NAME = 200
"""Bytes of a file's name, so that others beside it can be named after it."""


def call(
    photo: str | None,
    fields: Mapping[str, Any],
    *,
    api: str,
    resumed: str | None,
    out: Path | None,
    timeout: float,
    is_sure: bool,
    as_json: bool,
) -> None:
    """Make a model of a photo, or go on with a run that was started."""
    parameters = _parameters(photo, fields) if resumed is None else _none_beside(resumed, photo, fields, api)
    settings = _paying(load_settings())
    place = place_of(out, photo or resumed or "")
    require_room()
    if place.exists():
        note(f"{place} is there and will be replaced")
    if resumed is None and not is_sure:
        _agree()
    made = _made(settings, parameters, place, timedelta(seconds=timeout), api, resumed)
    _tell({"api": api, **made}, as_json=as_json)


# What is checked before anything is sent.


def _parameters(photo: str | None, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is sent to the vendor, checked as the request of a job is."""
    if photo is None:
        raise InvalidMessage(
            "image", "A photo is missing: `sam3d call PHOTO`, or `--resume` for a run that was started."
        )
    request = parse_request(given.request_of(photo, **given.fields_of(fields)))
    return {**request.parameters, **{name: file.url or file.content for name, file in request.files.items()}}


def _none_beside(resumed: str, photo: str | None, fields: Mapping[str, Any], api: str) -> Mapping[str, Any]:
    """Check that a run that was started is not asked to be another one."""
    if not is_request_id(resumed):
        raise InvalidMessage("resume", "`--resume` is not the id of a run, which the vendor gives.")
    if photo is not None or any(value is not None for value in fields.values()) or api != "v2":
        raise InvalidMessage(
            "resume", "`--resume` goes on with a run as it was started: name no photo, none of its options."
        )
    return {}


def _paying(settings: Settings) -> Settings:
    if not (settings.vendor.api_key or settings.vendor.api_key_file):
        raise ConfigurationError("No key is set, nothing was sent: set SEGMIND_API_KEY or SEGMIND_API_KEY_FILE.")
    return settings


def place_of(out: Path | None, source: str) -> Path:
    """Return where the model goes: a file, or in a folder one that is named after the photo.

    Raises:
        InvalidMessage: it can't be written there.
    """
    is_folder = out is None or out.is_dir() or not out.suffix
    place = (out or Path()) / named_after(source) if is_folder else Path(out or "")
    if len(os.fsencode(place.name)) > LONGEST_NAME or (place.exists() and not place.is_file()):
        raise InvalidMessage("out", "`--out` is no name that a file can have here.")
    writable_folder(place.parent)
    return place


def named_after(source: str) -> str:
    """Return the name of a model: ``cup.glb`` for ``photos/cup.jpg`` and for ``https://example.com/cup.jpg?w=9``."""
    if source.startswith("data:"):
        return "model.glb"
    path = urlsplit(source).path if "://" in source else source
    stem = os.fsencode(PurePosixPath(path).stem)[: LONGEST_NAME - len(".glb")].decode(errors="ignore")
    return f"{stem or 'model'}.glb"


def _agree() -> None:
    """Ask whether to pay.

    Raises:
        InvalidMessage: nobody can be asked.
        Exit: the answer is no.
    """
    if not all(each and each.isatty() for each in (sys.stdin, sys.stderr)):
        raise InvalidMessage("yes", f"A run costs {PRICE}, and nobody can be asked here; `--yes` agrees to that.")
    typer.echo(f"A run costs {PRICE}. Start it? [y/N] ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        note("nothing was sent")
        raise typer.Exit(2)


# The call.


def _made(
    settings: Settings, parameters: Mapping[str, Any], place: Path, within: timedelta, api: str, resumed: str | None
) -> Mapping[str, Any]:
    """Make the call, with a bar beside it, and return what is told of it."""
    with progress.bars(progress.Words("stage"), TimeElapsedColumn()) as shown, closing(Vendor(settings)) as vendor:
        bar = shown.add_task(place.name, total=None, stage="sending" if resumed is None else "looking")

        def tell(stage: str) -> None:
            shown.update(bar, stage=stage)
            if not shown.console.is_terminal:
                note(stage)

        asked = Call(settings, vendor, Patience(within, tell), place, partial(progress.note_above, shown), parameters)
        if resumed is not None:
            made = followed(asked, resumed, is_resumed=True)
        else:
            made = through_v1(asked) if api == "v1" else through_v2(asked)
        shown.update(bar, total=1, completed=1, stage="done")
    return made


def _tell(made: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what was made and what it cost."""
    if as_json:
        print_json(made)
        return
    for file in made["files"]:
        print_values({"file": file["path"], "size": sized(file["bytes"]), "sha256": file["sha256"]}, WIDTH)
    cost = f"not told; a run costs {PRICE}" if made["cost"] is None else f"{made['cost']:.6g} USD"
    left = {} if made["credits_left"] is None else {"credits left": f"{made['credits_left']:.6g} USD"}
    print_values({"cost": cost, **left, "request id": made["request_id"]}, WIDTH)


WIDTH = 13
