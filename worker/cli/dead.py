"""What nobody could read: ``dead list``, ``dead show``, ``dead replay``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import typer
from kombu import Connection
from kombu.pools import ProducerPool

from worker.broker import dead_letters
from worker.broker.connection import connected, opened_producers, unreachable
from worker.broker.dead_letters import Way
from worker.broker.topology import PUBLISH_ERRORS
from worker.cli.show import brief, head, note, print_json, print_table, print_values, say, titled
from worker.config.environment import load_settings
from worker.errors import InvalidMessage, Sam3dError
from worker.telemetry.errors_alone import log_errors_alone

LONGEST_TEXT = 80
"""Characters of a text within a body that are shown to a person; an image is a longer one."""

LONGEST_BODY = 4000

WIDTH = 19
"""Of the names in front of values, so that all begin at one place."""

NAMED = 5
"""How many letters an error names at most."""


@contextmanager
def opened() -> Iterator[tuple[ProducerPool, Connection]]:
    """Give what publishes and a connection to the broker; messages that were only looked at go back when it ends."""
    log_errors_alone()
    settings = load_settings()
    try:
        with connected(settings.broker) as connection, opened_producers(settings.broker) as producers:
            yield producers, connection
    except PUBLISH_ERRORS as error:
        raise unreachable(error, settings.broker.url) from None


def list_(*, as_json: bool) -> None:
    """List the dead letters, the oldest first; nothing is taken away."""
    with opened() as (_, connection):
        rows = [letter.summary() for letter in dead_letters.read(connection)]
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "came_by": str(Way(row["exchange"], row["routing_key"]))} for row in rows]
        print_table(abbreviated(shown), ["id", "reason", "came_by", "bytes"], "dead letters")


def show(letter_id: str, *, as_json: bool) -> None:
    """Show a dead letter: its headers and what it holds."""
    with opened() as (_, connection):
        contents = dead_letters.find(connection, letter_id).contents()
    if as_json:
        print_json(contents)
        return
    _print_contents(**contents)


def _print_contents(body: str, **contents: Any) -> None:
    """Print a dead letter for a person: what is known of it first, what its sender wrote apart from that."""
    parts = {name: contents.pop(name) for name in ("properties", "headers")}
    print_values({titled(name): abbreviated(brief(value)) for name, value in contents.items()}, WIDTH)
    for part, values in parts.items():
        if values:
            head(part)
        print_values({name: abbreviated(brief(value)) for name, value in values.items()}, WIDTH)
    head("body")
    say(readable(body), keep="\n")


def readable(body: str) -> str:
    """Lay a body out for a person, long texts in it cut short."""
    try:
        laid_out = json.dumps(abbreviated(json.loads(body)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        laid_out = body
    return laid_out if len(laid_out) <= LONGEST_BODY else f"{laid_out[:LONGEST_BODY]}… ({len(body)} characters)"


def abbreviated(value: Any) -> Any:
    """Cut the long texts in a JSON value short."""
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]}… ({len(value)} characters)"
        case list():
            return [abbreviated(each) for each in value]
        case dict():
            return {name: abbreviated(each) for name, each in value.items()}
    return value


Entrance = Literal["requests", "inbox"]
ENTRANCES: Mapping[Entrance, Way] = {"requests": dead_letters.TO_REQUESTS, "inbox": dead_letters.TO_INBOX}


def replay(
    letter_ids: Sequence[str] | None, to: Entrance | None, *, all_letters: bool, is_sure: bool, as_json: bool
) -> None:
    """Send dead letters back to the queues that they came from, or show what would go where."""
    if bool(letter_ids) == all_letters:
        raise InvalidMessage("id", "Name the dead letters that `sam3d dead list` shows, or give `--all`.")
    elsewhere = ENTRANCES[to] if to else None
    with opened() as (producers, connection):
        rows = []
        for letter in dead_letters.chosen(connection, letter_ids):
            way = letter.way_back or elsewhere
            if way and is_sure:
                dead_letters.send_back(producers, letter, way)
            rows.append({**letter.summary(), "goes_to": way and str(way), "is_sent": bool(way and is_sure)})
    _tell_replayed(rows, is_sure=is_sure, as_json=as_json)


def _tell_replayed(rows: Sequence[Mapping[str, Any]], *, is_sure: bool, as_json: bool) -> None:
    """Print what went where, or would, and end with the code that says whether all of it went.

    Raises:
        Sam3dError: some came by no way of ours, and stay.
    """
    if as_json:
        print_json(rows)
    else:
        shown = [{**abbreviated(row), "goes_to": row["goes_to"] or "nowhere"} for row in rows]
        print_table(shown, ["id", "reason", "goes_to"], "dead letters")
    refused = [row for row in rows if not row["goes_to"]]
    if rows and not is_sure:
        note(f"{len(rows) - len(refused)} of {len(rows)} dead letters would be sent; --yes does it.")
    if refused:
        raise Sam3dError(_refused(refused))
    if rows and not is_sure:
        raise typer.Exit(2)


def _refused(rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the letters that go nowhere, and say what to do."""
    named = [f"{row['id']} ({abbreviated(str(Way(row['exchange'], row['routing_key'])))})" for row in rows[:NAMED]]
    more = [f"and {len(rows) - NAMED} more"] * (len(rows) > NAMED)
    return (
        f"Nothing was sent of what came by no way of this service: {', '.join(named + more)}. "
        "See `sam3d dead show ID`; a request goes with `sam3d dead replay ID --yes --to requests` (a Celery task) "
        "or `--to inbox` (JSON)."
    )
