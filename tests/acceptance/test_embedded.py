"""The demo's PostgreSQL: as root and as anybody else, with any PATH; it leaves the machine as it was."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from worker.database.local_server import WHEEL, running_postgres
from worker.errors import ConfigurationError

ACCOUNTS = tuple(Path("/etc") / name for name in ("passwd", "group"))
PARTS = (WHEEL, f"{WHEEL}.libs")


def copy_wheel(folder: Path) -> None:
    """Install the wheel into a folder."""
    spec = find_spec(WHEEL)
    assert spec
    assert spec.origin
    for part in PARTS:
        shutil.copytree(Path(spec.origin).parent.with_name(part), folder / part)


def modes(folder: Path) -> dict[Path, int]:
    """Return the modes of a folder, of what is in it, and of all that are above it."""
    return {
        each: each.lstat().st_mode for each in (folder, *folder.parents, *folder.rglob("*")) if not each.is_socket()
    }


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Provide a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="public-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_demo_changes_nothing_on_the_machine(tmp_path: Path) -> None:
    """In folders that are closed to others, which stay closed; no user is added, no process and no file is left."""
    home = tmp_path / "home"
    (home / "packages").mkdir(parents=True)
    (home / "tmp").mkdir()
    copy_wheel(home / "packages")
    home.chmod(0o700)
    before, accounts = modes(home), [each.read_bytes() for each in ACCOUNTS]
    environment = {
        "PATH": "/nonexistent", "HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": str(home / "packages"),
    }  # fmt: skip

    command = [sys.executable, "-m", "worker", "demo", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "job.json").read_text())["state"] == "succeeded"
    assert [each.read_bytes() for each in ACCOUNTS] == accounts
    after = modes(home)
    assert {path: after.get(path) for path in before} == before
    assert {path for path in after if "__pycache__" not in str(path)} == set(before)


def test_the_server_ends_with_its_folder() -> None:
    """Nobody but its user and root may enter that, and it listens nowhere else."""
    with running_postgres() as url, psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(
            "SELECT current_setting('data_directory'), current_setting('listen_addresses')"
        ).fetchone()
        assert row
        folder = Path(row[0]).parent
        assert row[1] == ""
        assert folder.stat().st_mode & 0o077 == 0
        assert list(servers_in(folder)) != []
    assert not folder.exists()
    assert list(servers_in(folder)) == []


def servers_in(folder: Path) -> Iterator[psutil.Process]:
    """Give the servers whose data are in a folder."""
    for process in psutil.process_iter(["cmdline"]):
        if str(folder / "data") in (process.info["cmdline"] or []):
            yield process


@pytest.mark.parametrize("fault", ["the context is left by an error", "the server does not start"])
def test_it_ends_however_it_ends(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """And what is wrong is one line."""
    started: list[Path] = []
    make = tempfile.mkdtemp

    def noted(*given: Any, **named: Any) -> str:
        started.append(Path(make(*given, **named)))
        return str(started[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", noted)
    if fault == "the server does not start":
        monkeypatch.setattr("worker.database.local_server._SETTINGS", "no_such_setting = 1\n# {folder}\n")
    with pytest.raises(ConfigurationError) as error, running_postgres():
        raise ConfigurationError(fault)
    assert "\n" not in str(error.value)
    assert [path for path in started if path.exists()] == []


AS_NOBODY = """
import os, pwd
from pathlib import Path
from worker.database.local_server import running_postgres
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
with running_postgres() as url:
    folder = Path(url.partition("?host=")[2])
    print(sorted(each.name for each in folder.iterdir() if not each.name.startswith(".")))
print(os.geteuid() != 0, folder.exists())
"""


def test_an_ordinary_user_needs_no_copy(public_folder: Path) -> None:
    """The programs run where they are installed; with settings of another server in the environment."""
    copy_wheel(public_folder)
    environment = {"PATH": "/nonexistent", "PYTHONPATH": str(public_folder), "PGDATA": "/nonexistent", "PGPORT": "1"}
    command = [sys.executable, "-c", AS_NOBODY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["['data', 'log']", "True False"]
