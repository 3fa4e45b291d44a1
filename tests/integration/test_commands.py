"""The command line as a whole: what it lists, how little it imports, how a shell completes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from worker import __version__
from worker.cli import COMMANDS, imported

HEAVY = {"alembic", "celery", "httpx", "kombu", "PIL", "psycopg", "sqlalchemy", "structlog", "aiohttp", "numpy"}
"""Each takes a twentieth of a second to a whole one."""

ASKED = """
import sys
sys.argv[0] = "sam3d"
try:
    __import__("worker.cli").cli.main()
finally:
    print(*sorted({heavy} & set(sys.modules)), file=sys.stderr)
"""


def imports(*arguments: str) -> set[str]:
    """Run a command in an interpreter of its own; return what it imported that takes long."""
    script = ASKED.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["jobs", "--help"], {"psycopg", "sqlalchemy"}),
        (["job", "--help"], {"psycopg", "sqlalchemy"}),
        (["submit", "--help"], {"kombu"}),
    ],
)
def test_a_command_imports_what_it_needs(arguments: list[str], needed: set[str]) -> None:
    """So that it starts at once: who asks for help does not wait for Celery."""
    assert imports(*arguments) == needed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_command_says_of_itself(name: str) -> None:
    """It is written down apart, as the list imports no command."""
    assert (imported(name).help or "").replace("\n", " ").startswith(COMMANDS[name].about)


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
    places = [listed.index(f" {panel} ─") for panel in dict.fromkeys(command.panel for command in COMMANDS.values())]
    assert places == sorted(places)
    words = [line.split()[1] for line in listed.splitlines() if line.startswith("│ ")]
    assert [word for word in words if word in COMMANDS] == list(COMMANDS)


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
