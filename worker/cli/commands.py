"""What can be asked on the command line about jobs and for a person's decisions: each command, its options, its help.

What does it is imported when it is asked, so that nobody who asks for help waits for Celery.
"""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.letters import dead_commands
from worker.cli.options import Artifacts, Box, Mask, Points, Prompt, Seed
from worker.cli.show import AsJson
from worker.rules.lifecycle import JobState, Verdict

JOBS, DECISIONS = "Jobs", "What a person decides"

commands = typer.Typer()

HasPreview = Annotated[bool, typer.Option("--preview", help="Draw each GLB as a PNG beside it (extra `demo`).")]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


@commands.command(rich_help_panel=JOBS)
def submit(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE…", help="Files or http(s) URLs; a job for each.")],
    mask: Mask = None,
    prompt: Prompt = None,
    bounding_box: Box = None,
    point_coords: Points = None,
    seed: Seed = None,
    include_artifacts: Artifacts = None,
    idempotency_key: Annotated[str | None, typer.Option("--key", help="One job for each key.")] = None,
    job_id: Annotated[str | None, typer.Option(help="A UUID of your choice.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher goes first.")] = None,
    force: Annotated[
        bool | None, typer.Option("--force", help="A run of its own, where equal requests share one.")
    ] = None,
    metadata: Annotated[str | None, typer.Option(help="A JSON object, given back in every event.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome.")] = False,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for the outputs; means --wait.")] = None,
    has_preview: HasPreview = False,
    timeout: Annotated[float, typer.Option(min=1, max=1e6, help="How long to wait, s.")] = 3900.0,
    as_json: AsJson = False,
) -> None:
    """Send photos to be made into 3D models.

    All are checked before the first is sent.
    """
    from worker.cli import submit

    fields = {
        "mask": mask, "prompt": prompt, "bounding_box": bounding_box, "point_coords": point_coords, "seed": seed,
        "include_artifacts": include_artifacts, "idempotency_key": idempotency_key, "job_id": job_id,
        "priority": priority, "force": force, "metadata": metadata,
    }  # fmt: skip
    submit.submit(
        images, fields, is_waited_for=wait, folder=folder, has_preview=has_preview, timeout=timeout, as_json=as_json
    )


@commands.command(rich_help_panel=JOBS)
def wait(
    job_ids: Annotated[list[str], typer.Argument(metavar="ID…", help="The jobs' ids.")],
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for the outputs.")] = None,
    timeout: Annotated[float, typer.Option(min=0, max=1e6, help="How long to wait, s.")] = 3900.0,
    as_json: AsJson = False,
) -> None:
    """Wait for the outcomes of jobs that were sent before.

    It does not matter by whom; exit codes as of `submit --wait`.
    """
    from worker.cli import wait

    wait.wait(job_ids, folder, timeout, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def jobs(
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from worker.cli import look

    look.jobs(state, limit, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def job(
    job_id: JobId,
    is_verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All that is known, internals as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a job.

    Its photo, how it stands, what it waits for, what it cost; its submits, outputs and history.
    """
    from worker.cli import look

    look.job(job_id, is_verbose=is_verbose, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def output(
    job_id: JobId,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Only this file.")] = None,
    has_preview: HasPreview = False,
    as_json: AsJson = False,
) -> None:
    """Write a job's files.

    Each is complete and checked, or is not there.
    """
    from worker.cli import output

    output.output(job_id, folder, name, has_preview=has_preview, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def report(
    path: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page.")] = Path("report.html"),
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many jobs.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Make a page of the newest jobs, with their models to be turned.

    One file that asks the network for nothing.
    """
    from worker.cli import report

    report.report(path, limit, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def link(
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="Only this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make fresh links to a job's files.

    Whoever has one gets the file, without our database, until it expires.
    """
    from worker.cli import link

    link.link(job_id, name, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def receipt(
    job_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The job's id; with --verify only to compare.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Check the receipt in this file.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PUBLIC.pem", help="The key to check with; default SAM3D_RECEIPT_KEY.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a job's receipt, or check one.

    It says what went in, what was paid and what came out. With --verify neither database nor network is needed: says
    whether it is as it was signed, and whether the files beside it are those that it tells of.
    """
    from worker.cli import sealed

    sealed.receipt(job_id, file, key, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Give a job up.

    Free before its submit; after it the run goes on at the vendor and is paid.
    """
    from worker.cli import change

    change.cancel(job_id, as_json=as_json)


@commands.command(rich_help_panel=JOBS)
def retry(
    job_id: JobId,
    pay_again: Annotated[bool, typer.Option("--pay-again", help="Though the job was paid, or may have been.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new job in the place of one that failed or was cancelled.

    It has the same files, metadata and key.
    """
    from worker.cli import change

    change.retry(job_id, pay_again=pay_again, as_json=as_json)


@commands.command(rich_help_panel=DECISIONS)
def review(
    job_id: Annotated[str | None, typer.Argument(help="The job to decide; none: list them.")] = None,
    adopt: Annotated[
        str | None, typer.Option(help="The paid run it has at the vendor: go on with that. With --all: `known`.")
    ] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="No run was started: submit it again.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give it up.")] = False,
    is_all: Annotated[bool, typer.Option("--all", help="Decide all that are listed.")] = False,
    code: Annotated[str | None, typer.Option(help="Only those with this error code.")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, max=1e9, help="Only those of this age, s.")] = None,
    last: Annotated[Verdict | None, typer.Option(help="Only those whose last submit has this verdict.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many, the oldest first.")] = None,
    is_sure: Annotated[bool, typer.Option("--yes", help="With --all: do it; without it is only shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that nobody can tell the fate of, or decide.

    A decision, of one job or with --all of many, is --adopt REQUEST_ID, --resubmit or --fail. With --all and without
    --yes it is only shown what would be decided; --adopt known goes on with the paid run that a job has already.
    """
    from worker.cli import review

    chosen = [name for name, each in (("--adopt", adopt), ("--resubmit", resubmit), ("--fail", fail)) if each]
    which = review.chosen_by(code, older_than, last, limit)
    review.review_command(job_id, chosen, adopt, which, is_all=is_all, is_sure=is_sure, as_json=as_json)


@commands.command(rich_help_panel=DECISIONS)
def hold(
    message: Annotated[str, typer.Option(help="Why, for whoever looks.")] = "Held by a person.",
    as_json: AsJson = False,
) -> None:
    """Stop submits.

    Jobs wait, runs that were started go on. Only `sam3d resume` lets them go on again.
    """
    from worker.cli import account

    account.hold(message, as_json=as_json)


@commands.command(rich_help_panel=DECISIONS)
def resume(as_json: AsJson = False) -> None:
    """Let a held account go on at once.

    Whatever held it; the vendor may stop it again. After the database was set back: also without having compared it
    with the request history.
    """
    from worker.cli import account

    account.resume(as_json=as_json)


commands.add_typer(
    dead_commands,
    name="dead",
    help="Messages that nobody could read, or that stopped every worker.",
    rich_help_panel=DECISIONS,
)
