"""What can be asked on the command line to run the service, or to try it: each command, its options, its help.

What does it is imported when it is asked.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from worker.cli.options import Artifacts, Box, Mask, Points, Prompt, Seed
from worker.cli.show import AsJson
from worker.rules.lifecycle import Step

SERVICE, TRIALS = "The service", "Try it"

operations = typer.Typer()


@operations.command(rich_help_panel=SERVICE)
def worker(
    steps: Annotated[str, typer.Option(help="Which steps to do, comma separated.")] = ",".join(("accept", *Step)),
    concurrency: Annotated[int | None, typer.Option(min=1, max=128, help="Threads; default SAM3D_CONCURRENCY.")] = None,
) -> None:
    """Work on jobs until SIGTERM.

    That lets the steps in hand finish.
    """
    from worker.cli import serve

    serve.worker(steps, concurrency)


@operations.command(rich_help_panel=SERVICE)
def scheduler() -> None:
    """Release, look, relay, probe, reconcile, sweep and prune.

    Until SIGTERM; several may run, one works.
    """
    from worker.cli import serve

    serve.scheduler()


@operations.command(rich_help_panel=SERVICE)
def files(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; default SAM3D_FILES_PORT.")] = None,
) -> None:
    """Give files to whoever has a link of this service's.

    Until SIGTERM; it reads the database and the store, and writes nothing.
    """
    from worker.cli import share

    share.files(port)


database_commands = typer.Typer(no_args_is_help=True, add_completion=False)
operations.add_typer(database_commands, name="db", help="The database's schema.", rich_help_panel=SERVICE)


@database_commands.command()
def upgrade() -> None:
    """Bring the schema up to date; safe to run twice, and by several at once."""
    from worker.cli import db

    db.upgrade()


@database_commands.command()
def current(as_json: AsJson = False) -> None:
    """Show the schema that the database has and the one this version needs."""
    from worker.cli import db

    db.current(as_json=as_json)


@operations.command(rich_help_panel=SERVICE)
def doctor(as_json: AsJson = False) -> None:
    """Check database, schema, broker and the vendor's key.

    And say what to do about what is wrong; nothing is changed.
    """
    from worker.cli import doctor

    doctor.doctor(as_json=as_json)


@operations.command(rich_help_panel=SERVICE)
def config(as_json: AsJson = False) -> None:
    """Show every setting, where it comes from, and what it is.

    Secrets only as set or unset.
    """
    from worker.cli import settings

    settings.config(as_json=as_json)


@operations.command(rich_help_panel=SERVICE)
def prune(
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what is older than the settings keep it, as the scheduler does.

    And say what is stored, by class.
    """
    from worker.cli import kept

    kept.prune(is_dry=is_dry, as_json=as_json)


@operations.command(rich_help_panel=SERVICE)
def budget(as_json: AsJson = False) -> None:
    """Show the request limit, what was used of it by what.

    And what a job takes, and how long a new one waits.
    """
    from worker.cli import limits

    limits.budget(as_json=as_json)


@operations.command(rich_help_panel=TRIALS)
def demo(
    photo: Annotated[Path | None, typer.Argument(help="A photo; a cup of coffee if none is given.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Text that names the object.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Folder for the model and its page.")] = Path("demo-output"),
    is_live: Annotated[bool, typer.Option("--live", help="Use the vendor and SEGMIND_API_KEY; costs money.")] = False,
    is_verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the job as well.")] = False,
) -> None:
    """Make a 3D model of a photo with the whole service in this process.

    No key, no server, no root.
    """
    from worker.cli import demo

    demo.demo(photo, prompt, folder, is_live=is_live, is_verbose=is_verbose)


@operations.command(rich_help_panel=TRIALS)
def call(
    photo: Annotated[str | None, typer.Argument(metavar="PHOTO", help="A file or http(s) URL.")] = None,
    mask: Mask = None,
    prompt: Prompt = None,
    bounding_box: Box = None,
    point_coords: Points = None,
    seed: Seed = None,
    include_artifacts: Artifacts = None,
    api: Annotated[
        Literal["v2", "v1"],
        typer.Option(help="v2: submit and look; v1: one call that blocks until the model is there."),
    ] = "v2",
    resume: Annotated[
        str | None, typer.Option(metavar="REQUEST_ID", help="Go on with a run that was started; free.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the model, or a folder; default: PHOTO's name, here.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, max=1e6, help="How long to wait, s.")] = 600.0,
    is_sure: Annotated[bool, typer.Option("--yes", help="Pay without being asked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a 3D model of a photo with one call of the vendor's API.

    No database, no broker. It asks before it pays; a submit is never sent twice.
    """
    from worker.cli import call

    fields = {
        "mask": mask, "prompt": prompt, "bounding_box": bounding_box, "point_coords": point_coords, "seed": seed,
        "include_artifacts": include_artifacts,
    }  # fmt: skip
    call.call(photo, fields, api=api, resumed=resume, out=out, timeout=timeout, is_sure=is_sure, as_json=as_json)


@operations.command(rich_help_panel=TRIALS)
def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 9100,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    run_seconds: Annotated[float, typer.Option(min=0, help="How long each run takes.")] = 31.7,
    credits: Annotated[float, typer.Option(min=0, help="The account's balance, USD.")] = 1000.0,  # noqa: A002
) -> None:
    """Stand in for the vendor on this machine.

    A key of the vendor's form is a good one, nothing is paid.
    """
    from worker.cli import simulator

    simulator.simulator(port, host, run_seconds, credits)


@operations.command(rich_help_panel=TRIALS)
def failpoints(as_json: AsJson = False) -> None:
    """List the places where a process can be made to die.

    Or to freeze or stop, by SAM3D_FAILPOINTS, for tests.
    """
    from worker.cli import settings

    settings.failpoints(as_json=as_json)
