"""Starts commands of ``sam3d`` cheaply: a process that has imported everything once and forks for each.

``python -m tests.support.services.zygote`` is that process; :class:`Zygote` is how a test talks to it.
"""

import faulthandler
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import IO, Any, Self, cast

import psutil

from worker import cli

_LATE = (
    *(f"worker.cli.{each.name}" for each in iter_modules(cli.__path__)),
    "worker.intake.consumer",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.log",
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.components",
    "celery.worker.strategy",
    "kombu.transport.pyamqp",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
)
"""What a worker or another command needs, and imports only once it is started."""


PATIENCE = "PATIENCE_SECONDS"
"""The variable that tells a command to give an answer of the broker or of the database up after so many seconds."""


LONGEST_COMMAND = 120.0


class Forked:
    """A command that a zygote started; like ``Popen``, but the zygote is its parent."""

    def __init__(self, zygote: "Zygote", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs or is frozen."""
        if self.returncode is None:
            self.returncode = self._zygote.ask(reap=self.pid)
        return self.returncode

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for the end and return the exit code.

        Raises:
            TimeoutExpired: it did not end in time.
        """
        ends_at = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends_at:
                self.send_signal(signal.SIGABRT)  # Its log then says where each of its threads is.
                raise subprocess.TimeoutExpired(f"forked {self.pid}", timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, if it has not ended; its number is nobody else's before it was polled."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, frozen or not."""
        self.send_signal(signal.SIGKILL)

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped by a signal."""
        return self.poll() is None and psutil.Process(self.pid).status() == psutil.STATUS_STOPPED


def inherited() -> dict[str, str]:
    """Return what a command has of the environment of the tests."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


class Zygote:
    """A parent of many workers: each starts within milliseconds, for it has imported nothing itself.

    A context manager that ends what is left. May be used from several threads.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.support.services.zygote"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._to, self._from = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, errors: Path | None = None
    ) -> Forked:
        """Start a command of ``sam3d`` with this environment alone; it writes to the end of the log.

        What it writes to stderr goes to a file of its own if there is one.
        """
        files = {"log": str(log), "errors": str(errors or log)}
        for each in files.values():
            Path(each).touch()
        pid = self.ask(start={"arguments": list(arguments), "environment": dict(environment), **files})
        return Forked(self, pid)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``sam3d`` to its end, with what a shell inherits and this environment."""
        with TemporaryDirectory() as folder:
            printed, errors = Path(folder, "printed"), Path(folder, "errors")
            code = self.start(arguments, {**inherited(), **environment}, printed, errors).wait(LONGEST_COMMAND)
            return subprocess.CompletedProcess(arguments, code, printed.read_text(), errors.read_text())

    def ask(self, **question: Any) -> Any:
        """Put a question to the process and return its answer."""
        with self._guard:
            self._to.write(json.dumps(question) + "\n")
            self._to.flush()
            answer = self._from.readline()
        assert answer, "the zygote has ended"
        return json.loads(answer)


def serve() -> Mapping[str, Any] | None:
    """Fork for each request; return the request in the child, and None in the parent at the end.

    No thread runs and no connection is open in the parent, so that a child inherits none.
    """
    children: set[int] = set()
    for question in _questions():
        if "reap" in question:
            _answer(_reap(question["reap"], children))
        elif pid := os.fork():
            children.add(pid)
            _answer(pid)
        else:
            request: Mapping[str, Any] = question["start"]
            return request
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def _questions() -> Iterator[dict[str, Any]]:
    while line := sys.stdin.readline():
        yield json.loads(line)


def _answer(value: int | None) -> None:
    print(json.dumps(value), flush=True)


def _reap(pid: int, children: set[int]) -> int | None:
    """Return the exit code of a child that has ended."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    children.discard(pid)
    return os.waitstatus_to_exitcode(status)


def become(request: Mapping[str, Any]) -> None:
    """Make this process what the request asks for: its environment, its log, its command line."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, number in (("log", 1), ("errors", 2)):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_APPEND), number)
    if seconds := os.environ.pop(PATIENCE, None):
        lose_patience(int(seconds))
    sys.argv = ["sam3d", *request["arguments"]]


def lose_patience(seconds: int) -> None:
    """Replace the limits after which this process gives an answer of the broker or of the database up."""
    from worker.broker import topology
    from worker.database import engine

    engine.ANSWER_SECONDS = engine.CONNECT_SECONDS = seconds
    topology.CONFIRMED["confirm_timeout"] = float(seconds)
    topology.CONNECTION.update(connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds)


if __name__ == "__main__":
    for each in _LATE:
        import_module(each)
    faulthandler.enable()
    gc.freeze()  # What was imported here is not looked through again by each child.
    if asked := serve():
        become(asked)
        import_module("worker.cli.main").main()
