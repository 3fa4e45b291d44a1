"""The command line as a whole: what it lists, how little it imports, how a shell completes it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from worker import __version__
from worker.cli.commands import DECISIONS, JOBS
from worker.cli.main import app
from worker.cli.operations import SERVICE, TRIALS

HEAVY = {
    "alembic",
    "celery",
    "celery.apps.worker",
    "celery.worker",
    "httpx",
    "kombu",
    "PIL",
    "prometheus_client",
    "psutil",
    "psycopg",
    "rich.console",
    "sqlalchemy",
    "sqlalchemy.orm",
    "structlog",
    "aiohttp",
    "numpy",
}
"""Each takes a twentieth of a second to a whole one."""

ASKED = """
import sys
sys.argv[0] = "sam3d"
try:
    __import__("worker.cli.main").cli.main.main()
finally:
    print(len(sys.modules), len([name for name in sys.modules if name.startswith("worker.")]), file=sys.stderr)
    print(*sorted({heavy} & set(sys.modules)), file=sys.stderr)
"""

HELPED = """
import sys
from worker.cli.main import app
for names in {commands}:
    app([*names, "--help"], prog_name="sam3d", standalone_mode=False)
    if found := {heavy} & set(sys.modules):
        sys.exit(f"{{names}}: {{found}}")
"""

SEEN = """
import atexit, gc, sys
atexit.register(lambda: print("garbage", len(gc.get_objects()), file=sys.stderr))
"""

ROOMLESS = """
import sys, tempfile
from worker.cli.main import main
tempfile.tempdir = "/proc"
sys.argv = ["sam3d", "worker", "--steps", sys.argv[1]]
main()
"""

NOBODY = "00000000-0000-4000-8000-000000000000"


def asked(*arguments: str, **environment: str) -> list[list[str]]:
    """Run a command in an interpreter of its own; return how much it imported, and what of that takes long."""
    script = ASKED.format(heavy=HEAVY)
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return [line.split() for line in done.stderr.splitlines()[-2:]]


def imports(*arguments: str, **environment: str) -> set[str]:
    """Run a command in an interpreter of its own; return what it imported that takes long."""
    return set(asked(*arguments, **environment)[1])


def commands(group: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the names that each command is called by, those of commands of commands as well."""
    for name, command in getattr(group, "commands", {}).items():
        yield (*names, name)
        yield from commands(command, *names, name)


ALL = [*commands(typer.main.get_command(app))]


def test_help_imports_nothing_that_takes_long() -> None:
    """Who asks what there is does not wait for what does it."""
    script = HELPED.format(heavy=HEAVY - {"rich.console"}, commands=[(), *ALL])  # Help is drawn by it.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stderr, done.stdout.count("Usage: sam3d ")) == ("", len(ALL) + 1)


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--version"], set()),
        (["config"], set()),
        (["failpoints"], set()),
        (["submit", "no-such.png"], {"kombu"}),
        (["demo", "no-such.png"], set()),
        (["call", "no-such.png"], {"httpx", "rich.console"}),
        (["call", "worker/photos/cat.png", "--yes"], {"httpx", "rich.console"}),
        (["jobs"], {"psycopg", "sqlalchemy"}),
        (["job", NOBODY], {"psycopg", "sqlalchemy"}),
        (["output", NOBODY], {"psycopg", "sqlalchemy"}),
        (["report", "--out", "/tmp/report.html"], {"psycopg", "sqlalchemy"}),
        (["wait", NOBODY, "--timeout", "0"], {"psycopg", "sqlalchemy", "rich.console"}),
        (["db", "current"], {"psycopg", "sqlalchemy"}),
    ],
)
def test_a_command_imports_what_it_needs(arguments: list[str], needed: set[str]) -> None:
    """So that it starts at once: who looks at a job does not wait for Celery."""
    assert imports(*arguments, SAM3D_DATABASE_URL="postgresql://127.0.0.1:1/x") == needed


DECIDED = [["hold"], ["resume"], ["cancel", NOBODY], ["retry", NOBODY], ["review"]]


@pytest.mark.parametrize("arguments", [*DECIDED, ["prune"]], ids=" ".join)
def test_a_decision_imports_neither_celery_nor_the_broker_nor_the_vendor(arguments: list[str]) -> None:
    """Each would take a tenth of the half second in which a command starts."""
    needed = {"psycopg", "sqlalchemy"}
    assert imports(*arguments, SAM3D_DATABASE_URL="postgresql://127.0.0.1:1/x") == needed


LOOKS = [["jobs"], ["job", NOBODY], ["link", NOBODY], ["output", NOBODY], ["receipt", NOBODY], ["db", "current"]]


@pytest.mark.parametrize(
    ("arguments", "most", "most_of_ours"),
    [*((each, 570, 57) for each in [*LOOKS, ["prune"], ["budget"]]), *((each, 600, 95) for each in DECIDED[1:])],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_command_imports_few_modules(migrated_url: str, arguments: list[str], most: int, most_of_ours: int) -> None:
    """Those of the libraries that each needs take half of the time in which it starts; a hundred of ours a sixth."""
    (counted, ours), _ = asked(*arguments, SAM3D_DATABASE_URL=migrated_url)
    assert int(counted) <= most
    assert int(ours) <= most_of_ours


@pytest.mark.parametrize("arguments", DECIDED, ids=" ".join)
def test_a_decision_that_the_broker_could_not_be_told_is_not_made(arguments: list[str]) -> None:
    """What is wrong with the broker's settings is said before the database is asked for anything."""
    given = {"SAM3D_BROKER_URL": "amqps://broker", "SAM3D_BROKER_CA_FILE": "/none.pem"}
    script = ASKED.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **given, "SAM3D_DATABASE_URL": "postgresql://127.0.0.1:1/x"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.startswith("sam3d: SAM3D_BROKER_CA_FILE is no file of certificates (PEM)")


def test_a_command_ends_without_a_look_for_garbage() -> None:
    """It would look at all that was imported, which takes as long as the command."""
    script = f"{SEEN}\n{ASKED.format(heavy=HEAVY)}"
    done = subprocess.run([sys.executable, "-c", script, "config"], capture_output=True, text=True, check=True)
    looked_at = [int(line.split()[1]) for line in done.stderr.splitlines() if line.startswith("garbage ")]
    assert looked_at
    assert max(looked_at) < 1_000


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["budget"], {"psycopg", "sqlalchemy"}),
        (["dead", "list"], {"kombu"}),
        (["doctor"], {"psycopg", "sqlalchemy", "kombu", "httpx", "rich.console"}),  # httpx has a command of its own.
    ],
    ids=["budget", "dead", "doctor"],
)
def test_a_look_imports_no_celery(arguments: list[str], needed: set[str]) -> None:
    """What is looked at needs no task."""
    unreachable = {"SAM3D_DATABASE_URL": "postgresql://127.0.0.1:1/x", "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//"}
    vendor = {"SEGMIND_BASE_URL": "http://127.0.0.1:1", "SEGMIND_ACCOUNT_URL": "http://127.0.0.1:1"}
    assert imports(*arguments, **unreachable, **vendor) == needed


def run(*arguments: str, **environment: str) -> str:
    """Run the installed command and return what it printed."""
    command = [str(Path(sys.executable).parent / "sam3d"), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


def test_the_version_is_told() -> None:
    """In one line."""
    assert run("--version") == f"sam3d {__version__}\n"


def test_commands_are_listed_in_groups() -> None:
    """Each once, below what it is for."""
    listed = run("--help", COLUMNS="80")
    places = [listed.index(f" {panel} ─") for panel in (JOBS, DECISIONS, SERVICE, TRIALS)]
    assert places == sorted(places)
    words = [line.split()[1] for line in listed.splitlines() if line.startswith("│ ")]
    names = [names[0] for names in ALL if len(names) == 1]
    assert sorted(word for word in words if word in names) == sorted(names)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("sam3d jo", ["jobs", "job"]),
        ("sam3d jobs --st", ["--state"]),
        ("sam3d jobs --state suc", ["succeeded"]),
        ("sam3d dead re", ["replay"]),
    ],
)
def test_a_shell_completes_it(typed: str, completed: list[str]) -> None:
    """Commands, commands of commands, options and their values; `sam3d --install-completion` sets it up."""
    words = typed.split()
    printed = run(_SAM3D_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert printed.split() == completed


def test_a_worker_without_a_place_for_outputs_does_not_start() -> None:
    """In a container whose root is read-only and that has no volume: it says what to mount, before a run is paid."""
    command = [sys.executable, "-c", ROOMLESS, "submit,fetch"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)

    assert ended.returncode == 3
    assert "mount a folder at /tmp, or name one in TMPDIR" in ended.stdout + ended.stderr
