"""How commands show things: a table for people, JSON for programs, errors as one line."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.errors import InvalidMessage

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SERVICES = frozenset({"worker", "scheduler"})
"""The commands whose output is a log, unless a person looks at it."""

log = structlog.get_logger(__name__)
out = Console()
err = Console(stderr=True)


def say(*words: str) -> None:
    """Print words as they are, on one line."""
    out.print(*words, markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """End the command with one line; a service's is one of its log."""
    if not SERVICES.isdisjoint(sys.argv[1:2]) and not err.is_terminal:
        log.critical("process_failed", reason=message, exit_code=code)
        sys.exit(code)
    err.print(f"sam3d: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def tell_of(image: object) -> Callable[[str], None]:
    """Return what says a word of an image to people, beside the data."""
    return lambda word: err.print(f"{image}: {word}", markup=False, highlight=False, soft_wrap=True)


def writable_folder(path: Path) -> Path:
    """Make a folder for outputs, before anything is sent or paid for them.

    Raises:
        InvalidMessage: it can't be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise InvalidMessage("out", f"`--out` can't be written to: {error.strerror}.") from None


def json_text(value: object) -> str:
    """Write a JSON document; times as ISO 8601, durations as seconds."""
    return json.dumps(value, default=_plain, indent=2, ensure_ascii=False) + "\n"


def print_json(value: object) -> None:
    """Print a JSON document."""
    sys.stdout.write(json_text(value))


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return round(value.total_seconds(), 3)
    return str(value)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows under their columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in {"id", "state"})
    for row in rows:
        table.add_row(*(Text(brief(row.get(column))) for column in columns))
    out.print(table)


def brief(value: object) -> str:
    """Write a value as a person reads it."""
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case Decimal():
            return f"{value.normalize():f}"
        case dict():
            return ", ".join(f"{name} {each}" for name, each in value.items())
        case timedelta():
            return f"{value.total_seconds():.0f} s"
    return str(value)
