"""What can be asked on the command line about dead letters: each command, its options, its help.

What does it is imported when it is asked.
"""

from typing import Annotated, Literal

import typer

from worker.cli.show import AsJson

dead_commands = typer.Typer(no_args_is_help=True, add_completion=False)


@dead_commands.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the dead letters, the oldest first; nothing is taken away."""
    from worker.cli import dead

    dead.list_(as_json=as_json)


@dead_commands.command()
def show(letter_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show a dead letter: its headers and what it holds."""
    from worker.cli import dead

    dead.show(letter_id, as_json=as_json)


@dead_commands.command()
def replay(
    letter_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    all_letters: Annotated[bool, typer.Option("--all", help="Every one that is there now.")] = False,
    to: Annotated[
        Literal["requests", "inbox"] | None,
        typer.Option(help="Where those go that came by no way of ours: a Celery task, or JSON."),
    ] = None,
    is_sure: Annotated[
        bool, typer.Option("--yes", help="Do it; without it is only shown what would go where.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to the queues that they came from, under their own identity, and take them away.

    Without --yes nothing is sent, and the exit code is 2. A letter that came by no way of ours stays, and the exit
    code is 1, unless --to says where it belongs.
    """
    from worker.cli import dead

    dead.replay(letter_ids, to, all_letters=all_letters, is_sure=is_sure, as_json=as_json)
