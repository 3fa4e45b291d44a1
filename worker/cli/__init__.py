"""The command line ``sam3d``: what is asked for on stdout, progress and errors on stderr.

A command's module is imported when the command is called: whoever lists jobs does not wait for Celery.

Exit codes: 0 done · 1 the job failed, or what was asked for is not there · 2 wrong input, nothing was sent ·
3 a setting or a service is wrong · 4 no outcome in time · 130 interrupted; what was sent goes on.
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from worker import __version__
from worker.cli.show import fail, say

JOBS, DECISIONS, SERVICE, TRIALS = "Jobs", "What a person decides", "The service", "Try it"


class Command(NamedTuple):
    """Where a command is, and what is said of it in the list of all."""

    panel: str
    place: str
    about: str


COMMANDS: Mapping[str, Command] = {
    "submit": Command(JOBS, "send:submit", "Send photos to be made into 3D models"),
    "wait": Command(JOBS, "wait:wait", "Wait for the outcomes of jobs that were sent before"),
    "jobs": Command(JOBS, "look:jobs", "List the newest jobs"),
    "job": Command(JOBS, "look:job", "Show a job"),
    "output": Command(JOBS, "output:output", "Write a job's files"),
    "cancel": Command(JOBS, "decide:cancel", "Give a job up"),
    "retry": Command(JOBS, "decide:retry", "Make a new job in the place of one that failed or was cancelled"),
    "review": Command(DECISIONS, "decide:review_command", "List the jobs that nobody can tell the fate of, or decide"),
    "hold": Command(DECISIONS, "decide:hold", "Stop submits"),
    "resume": Command(DECISIONS, "decide:resume", "Let a held account go on at once"),
    "dead": Command(DECISIONS, "dead:dead_commands", "Messages that nobody could read, or that stopped every worker"),
    "worker": Command(SERVICE, "run:worker", "Work on jobs until SIGTERM"),
    "scheduler": Command(SERVICE, "run:scheduler", "Release, look, relay, probe, reconcile, sweep and prune"),
    "db": Command(SERVICE, "operate:database_commands", "The database's schema"),
    "doctor": Command(SERVICE, "operate:doctor", "Check database, schema, broker and the vendor's key"),
    "config": Command(SERVICE, "operate:config", "Show every setting, where it comes from, and what it is"),
    "budget": Command(SERVICE, "budget:budget", "Show the request limit, what was used of it by what"),
    "demo": Command(TRIALS, "demo:demo", "Make a 3D model of a photo with the whole service in this process"),
    "simulator": Command(TRIALS, "run:simulator", "Stand in for the vendor on this machine"),
    "failpoints": Command(TRIALS, "operate:failpoints", "List the places where a process can be made to die"),
}
"""All there are; what is said of each is how its own help begins."""

APPEARANCE: Any = {"no_args_is_help": True, "pretty_exceptions_enable": False, "rich_markup_mode": "rich"}


class Late(TyperGroup):
    """Knows the commands by their names, and gets to know one when it is called."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = {
            name: TyperCommand(name, help=about, rich_help_panel=panel) for name, (panel, _, about) in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments begin with, and import it."""
        name, known, rest = super().resolve_command(ctx, args)
        command = imported(name) if known and name else None
        if "structlog" in sys.modules:  # Who logs nothing does without, which takes a fifth of a second.
            import_module("worker.observability").configure_logging("ERROR")
        return name, command, rest


def imported(name: str) -> Any:
    """Import a command."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    found = getattr(import_module(f"worker.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    alone = typer.Typer(add_completion=False, **APPEARANCE)
    alone.command(name)(found)
    return typer.main.get_command(alone)


app = typer.Typer(name="sam3d", cls=Late, help="3D models from photos: a message in, an event out.", **APPEARANCE)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        say(f"sam3d {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run a command; a mistake is one line with its fix, never a traceback."""
    try:
        app()
    except Exception as error:
        explained = import_module("worker.cli.mistakes").explained(error)
        if explained is None:
            raise
        fail(*explained)
