"""A server process together with everything it has started: frozen, thawed, ended and killed as one."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30


def directory_for(prefix: str) -> Path:
    """Make a directory for a server's files, in memory if there is room: a queue that is replicated syncs each message.

    What a kill may lose is what it may lose on a disk; only a power cut would lose more.
    """
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if has_room else None))


class ServiceError(Exception):
    """A test service could not be found, did not start or did not answer."""


class ProcessTree:
    """A process started in a session of its own, so that Ctrl-C reaches the tests and not the server."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as output:
            self._root = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                user=user,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id of the root of the tree."""
        return self._root.pid

    @property
    def is_running(self) -> bool:
        """Whether the root of the tree has not ended; a frozen one is running."""
        return self._root.poll() is None

    def await_ready(self, is_ready: Callable[[], bool], timeout: float) -> None:
        """Wait until the server says that it is ready.

        Raises:
            ServiceError: it ended or took longer; the message has the end of its log.

        """
        deadline = time.monotonic() + timeout
        while not is_ready():
            if not self.is_running or time.monotonic() > deadline:
                raise ServiceError(f"{self._root.args!r} did not start:\n{self._end_of_log()}")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop the whole tree from running, with its sockets open: it neither answers nor goes away."""
        _signal_all(self._members(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen tree run again."""
        _signal_all(self._members(), signal.SIGCONT)

    def end(self, how: signal.Signals, timeout: float) -> None:
        """Ask the root to shut down and wait; kill the tree if it takes longer."""
        self.thaw()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.pid).send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            self._root.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """Kill the whole tree at once; it is gone on return."""
        members = []
        for member in self._members():
            _signal_all([member], signal.SIGSTOP)  # What is stopped can't start another process unseen.
            members.append(member)
        _signal_all(members, signal.SIGKILL)
        self._root.wait()
        while any(map(_is_alive, members)):
            time.sleep(0.005)

    def _members(self) -> Iterator[psutil.Process]:
        """Yield parents before their children, whom it looks up only when asked for the next one."""
        with suppress(psutil.NoSuchProcess):
            waiting = [psutil.Process(self.pid)] if self.is_running else []
            while waiting:
                member = waiting.pop()
                yield member
                with suppress(psutil.NoSuchProcess):
                    waiting.extend(member.children())

    def _end_of_log(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


def only_in_this_process(action: Callable[[], None]) -> Callable[[], None]:
    """Return the action, made to do nothing in a process that was forked from this one."""
    owner = os.getpid()

    def guarded() -> None:
        if os.getpid() == owner:
            action()

    return guarded


def _signal_all(members: Iterator[psutil.Process] | list[psutil.Process], number: signal.Signals) -> None:
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(number)


def _is_alive(member: psutil.Process) -> bool:
    try:
        return member.is_running() and member.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
