"""How commands show things: a table for people, JSON for programs, errors as one line.

Whatever a sender, the vendor or the database wrote is shown by ``legible``: nothing in it steers a terminal.
"""

import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any, NoReturn

import typer
from rich.cells import cell_len, set_cell_size

from worker.errors import InvalidMessage
from worker.telemetry.legible import legible

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SERVICES = frozenset({"worker", "scheduler", "files"})
"""The commands whose output is a log, unless a person looks at it."""


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
        from worker.log import Log  # A service has them already.
        from worker.telemetry.errors_alone import log_errors_alone

        log_errors_alone()
        Log(__name__).critical("process_failed", reason=message, exit_code=code)
        sys.exit(code)
    typer.secho(f"sam3d: {legible(message)}", fg="red", err=True)
    sys.exit(code)


def tell_of(image: object) -> Callable[[str], None]:
    """Return what notes beside the data what was done to an image."""
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


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], what: str = "rows") -> None:
    """Print rows under their columns, as blocks where a word would have to be broken; say so where there are none."""
    if not rows:
        note(f"no {what}")
        return
    table = [[titled(column) for column in columns], *([brief(row.get(column)) for column in columns] for row in rows)]
    if widths := fitting(table, get_terminal_size().columns):
        _print_columns(table, widths)
        return
    for number, row in enumerate(rows):
        if number:
            say()
        print_values({titled(column): row.get(column) for column in columns})


GAP = 2
"""Spaces between two columns."""


def fitting(table: Sequence[Sequence[str]], width: int) -> Sequence[int] | None:
    """Return how wide columns are that fit side by side: the widest give way first, none to less than its longest word.

    None where that is not enough.
    """
    columns = list(zip(*table, strict=True))
    room = width - GAP * (len(columns) - 1)
    least = [max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    widths = [min(max(map(cell_len, column)), room) for column in columns]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max((number for number, each in enumerate(widths) if each > least[number]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _print_columns(table: Sequence[Sequence[str]], widths: Sequence[int]) -> None:
    """Print rows side by side under their titles; rich's own tables take as long to import as all else here."""
    for number, row in enumerate(table):
        cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        height = max(map(len, cells))
        if is_title := number == 0:  # Titles end right over their columns.
            cells = [[*[""] * (height - len(cell)), *cell] for cell in cells]
        for line in zip_longest(*cells, fillvalue=""):
            typer.secho((" " * GAP).join(map(set_cell_size, line, widths)), bold=is_title)


def _wrapped(text: str, width: int) -> Sequence[str]:
    """Break a cell into lines between its words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if cell_len(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def print_values(values: Mapping[str, Any], width: int = 0) -> None:
    """Print values behind their names, a name a line; what is long goes on under its beginning."""
    width = max([width, *(len(legible(name)) for name in values)]) + 1
    for name, value in values.items():
        line = f"{legible(name):{width}}{brief(value)}"
        lines = textwrap.wrap(line, get_terminal_size().columns, subsequent_indent=" " * width, **WORDS)
        typer.echo("\n".join(line.rstrip() for line in lines))


WORDS: Any = {"break_long_words": False, "break_on_hyphens": False}
"""No word is broken: an id is copied, an address is looked up."""


def titled(name: str) -> str:
    """Write a column's name as words."""
    return legible(name.replace("_", " "))


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
            return lasted(value)
    return legible(str(value))


UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def lasted(time: timedelta) -> str:
    """Write how long something lasts in its two largest units: ``2 d 3 h``, ``45 s``."""
    left = round(time.total_seconds())
    if left < 0:
        return f"-{lasted(-time)}"
    counts: list[str] = []
    for unit, seconds in UNITS:
        count, left = divmod(left, seconds)
        if count or counts:
            counts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, counts[:2])) or "0 s"


def sized(size: int | None) -> str:
    """Write a number of bytes as people do: ``640 B``, ``1.2 MB``."""
    if size is None:
        return "of unknown size"
    scale = min(len(str(abs(size))) - 1, 9) // 3
    return f"{size / 1000**scale:.3g} {('B', 'KB', 'MB', 'GB')[scale]}"
