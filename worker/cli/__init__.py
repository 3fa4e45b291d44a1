"""The command line ``sam3d``: what is asked for on stdout, progress and errors on stderr.

Exit codes: 0 done · 1 the job failed, or what was asked for is not there · 2 wrong input, nothing was sent ·
3 a setting or a service is wrong · 4 no outcome in time · 130 interrupted; what was sent goes on.
"""

import typer

from worker.cli import budget, dead, decide, demo, look, operate, run, send
from worker.cli.show import fail
from worker.client import WaitTimeout
from worker.database import DatabaseError, refusal
from worker.errors import ConfigurationError, InvalidMessage, Sam3dError
from worker.observability import configure_logging
from worker.topology import PUBLISH_ERRORS

app = typer.Typer(
    name="sam3d",
    help="3D models from photos: a message in, an event out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo.demo)
app.command()(run.worker)
app.command()(run.scheduler)
app.command()(send.submit)
app.command()(look.jobs)
app.command()(look.job)
app.command()(look.output)
app.command()(look.cancel)
app.command()(decide.retry)
app.command("review")(decide.review_command)
app.command()(decide.hold)
app.command()(decide.resume)
app.add_typer(dead.dead_commands, name="dead")
app.add_typer(operate.database_commands, name="db")
app.command()(run.simulator)
app.command()(budget.budget)
app.command()(operate.doctor)
app.command()(operate.config)
app.command()(operate.failpoints)

EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (InvalidMessage, 2),
    (ConfigurationError, 3),
    (WaitTimeout, 4),
    (Sam3dError, 1),
)


def main() -> None:
    """Run a command; a mistake is one line with its fix, never a traceback."""
    configure_logging("ERROR")
    try:
        app()
    except Sam3dError as error:
        fail(str(error), next(code for kind, code in EXIT_CODES if isinstance(error, kind)))
    except DatabaseError as error:
        fail(str(refusal(error)), 3)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "worker":
            raise
        fail(f"{error.name} is not installed: install the extra `simulator`, or `demo`: `pip install '.[demo]'`.", 3)
    except OSError as error:
        fail(f"{error.filename or 'A file or an address'}: {error.strerror or error}.", 3)
    except PUBLISH_ERRORS as error:
        fail(f"The broker refuses ({type(error).__name__}): check user and virtual host in SAM3D_BROKER_URL.", 3)
