"""What nobody could read: ``dead list``, ``dead show``, ``dead replay``."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from kombu import Connection

from worker import dead
from worker.app import App, create_app
from worker.broker import unreachable
from worker.cli.show import AsJson, brief, head, print_json, print_table, say
from worker.config import load_settings
from worker.errors import InvalidMessage
from worker.topology import PUBLISH_ERRORS

LONGEST_TEXT = 80
"""Characters of a text within a body that are shown to a person; an image is a longer one."""

LONGEST_BODY = 4000

dead_commands = typer.Typer(help="Messages that nobody could read, or that stopped every worker.", no_args_is_help=True)


@contextmanager
def opened() -> Iterator[tuple[App, Connection]]:
    """Give an app and a connection to its broker; messages that were only looked at go back when it ends."""
    settings = load_settings()
    app = create_app(settings, [])
    with app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5, reraise_as_library_errors=False)
            yield app, connection
        except PUBLISH_ERRORS as error:
            connection.collect()
            raise unreachable(error, settings.broker_url) from None
    app.close()
    app.services.close()


@dead_commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the dead letters, the oldest first; nothing is taken away."""
    with opened() as (_, connection):
        rows = [letter.summary() for letter in dead.read(connection)]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["id", "reason", "exchange", "routing_key", "message_id", "task_id", "content_type", "bytes"])


@dead_commands.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show a dead letter: its headers and what it holds."""
    with opened() as (_, connection):
        contents = dead.find(connection, letter_id).contents()
    if as_json:
        print_json(contents)
        return
    _print_contents(**contents)


def _print_contents(body: str, **contents: Any) -> None:
    """Print a dead letter for a person: what is known of it first, what its sender wrote apart from that."""
    parts = {name: contents.pop(name) for name in ("properties", "headers")}
    for name, value in contents.items():
        say(f"{name.replace('_', ' '):20} {abbreviated(brief(value))}")
    for part, values in parts.items():
        if values:
            head(part)
        for name, value in values.items():
            say(f"{name:20} {abbreviated(brief(value))}")
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


@dead_commands.command()
def replay(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    all_letters: Annotated[bool, typer.Option("--all", help="Every one that is there now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to where they came from, under their own identity, and take them away."""
    if bool(letter_ids) == all_letters:
        raise InvalidMessage("id", "Name the dead letters that `sam3d dead list` shows, or give `--all`.")
    with opened() as (app, connection):
        replayed = [letter.summary() for letter in dead.replay(connection, app.producer_pool, letter_ids)]
    if as_json:
        print_json(replayed)
        return
    for row in replayed:
        say(f"{row['id']} went to {row['exchange'] or row['routing_key']}")
