"""How commands show things: a table for people, JSON for programs, errors as one line.

Whatever a sender, the vendor or the database wrote is shown by :func:`legible`: nothing in it steers a terminal.
"""

import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.errors import InvalidMessage

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SERVICES = frozenset({"worker", "scheduler"})
"""The commands whose output is a log, unless a person looks at it."""

_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that count as printable and leave nothing to see: fillers, joiners, selectors of variants."""


def legible(text: str, *, keep: str = "") -> str:
    r"""Write what steers a terminal, or can't be seen, by its number: ``\x1b``, ``\u202e``, ``\n``."""
    return "".join(each if each in keep or _is_seen(each) else _by_number(each) for each in text)


def _is_seen(character: str) -> bool:
    return character.isprintable() and not _BLANK.match(character)


def _by_number(character: str) -> str:
    return character.encode("unicode_escape").decode()


def say(*words: str, keep: str = "") -> None:
    """Print words on one line; only a text of several lines may ``keep`` its line breaks."""
    typer.echo(" ".join(legible(word, keep=keep) for word in words))


def note(*words: str) -> None:
    """Print words beside the data, on standard error."""
    typer.echo(" ".join(map(legible, words)), err=True)


def head(word: str) -> None:
    """Print what stands over a table."""
    typer.secho(f"\n{legible(word)}", bold=True)


def fail(message: str, code: int) -> NoReturn:
    """End the command with one line; a service's is one of its log."""
    if not SERVICES.isdisjoint(sys.argv[1:2]) and not sys.stderr.isatty():
        import structlog  # A service has it already; what only shows something starts faster without.

        structlog.get_logger(__name__).critical("process_failed", reason=message, exit_code=code)
        sys.exit(code)
    typer.secho(f"sam3d: {legible(message)}", fg="red", err=True)
    sys.exit(code)


def tell_of(image: object) -> Callable[[str], None]:
    """Return what says a word of an image to people, beside the data."""
    return lambda word: note(f"{image}: {word}")


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
    """Write a JSON document in ASCII; times as ISO 8601, durations as seconds."""
    return json.dumps(value, default=_plain, indent=2) + "\n"


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
        table.add_column(Text(legible(column.replace("_", " "))), overflow="fold", no_wrap=column in {"id", "state"})
    for row in rows:
        table.add_row(*(Text(brief(row.get(column))) for column in columns))
    Console().print(table)


def brief(value: object) -> str:
    """Write a value as a person reads it, legibly."""
    match value:
        case None:
            return "-"
        case datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case Decimal():
            return f"{value.normalize():f}"
        case dict():
            return ", ".join(f"{legible(str(name))} {brief(each)}" for name, each in value.items())
        case timedelta():
            return f"{value.total_seconds():.0f} s"
    return legible(str(value))
