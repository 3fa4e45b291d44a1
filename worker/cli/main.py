"""Runs what was asked for. What does it is imported then, so that nobody who asks for help waits for it.

Exit codes: 0 done · 1 the job failed, or what was asked for is not there · 2 wrong input, nothing was sent ·
3 a setting or a service is wrong · 4 no outcome in time · 130 interrupted; what was sent goes on.
"""

import gc
import os
from importlib import import_module
from typing import Annotated

import typer

from worker import __version__
from worker.cli.commands import commands
from worker.cli.operations import operations
from worker.cli.show import fail, say

app = typer.Typer(
    name="sam3d",
    help="3D models from photos: a message in, an event out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(commands)
app.add_typer(operations)


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


OFTEN = gc.get_threshold()
RARELY = 200_000
"""Objects that are made between two looks for garbage: imports make fewer, all of which stay. A process that goes on
looks as often as Python does by itself."""


def main() -> None:
    """Run a command; a mistake is one line with its fix, never a traceback."""
    gc.set_threshold(RARELY)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # It would look for them in all that is installed.
    try:
        app()
    except Exception as error:
        explained = import_module("worker.cli.mistakes").explained(error)
        if explained is None:
            raise
        fail(*explained)
    finally:
        gc.freeze()  # Nothing is looked for among what the process leaves behind, which takes as long as a command.
