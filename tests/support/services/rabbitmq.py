"""A private RabbitMQ node beside whatever else the machine runs: own name, ports, files, cookie and epmd.

Administration goes through `erl_call`, which takes 5 ms and answers as of now; `rabbitmqctl` takes a second.
"""

import atexit
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.support.services.ports import LOOPBACK, free_ports, is_listening
from tests.support.services.processes import ProcessTree, ServiceError, directory_for, only_in_this_process

# The scripts in /usr/sbin change the user; these are the ones they call.
_PROGRAMS: Final = Path("/usr/lib/rabbitmq/bin")
_EVALUATE: Final = ["erl_call", "-e", "-fetch_stdout", "-no_result_term"]
_START_TIMEOUT = 90.0
_STOP_TIMEOUT = 30.0
_CALL_TIMEOUT = 30.0
_nodes = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue as the broker sees it; the counts of a quorum queue are up to half a second old."""

    name: str
    durable: bool
    exclusive: bool
    messages: int
    consumers: int
    arguments: dict[str, Any]

    @property
    def is_transient_and_shared(self) -> bool:
        """Whether RabbitMQ 4.3 refuses such a queue."""
        return not self.durable and not self.exclusive


class PrivateRabbit:
    """A node with its data in a temporary directory; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self.name = f"sam3d-test-{os.getpid()}-{next(_nodes)}@localhost"
        self.port, self._distribution_port, self._epmd_port = free_ports(3)
        self._cookie = secrets.token_hex(16)
        self._directory = directory_for("sam3d-rabbitmq-")
        self._epmd: ProcessTree | None = None
        self._node: ProcessTree | None = None
        self._close_at_exit = only_in_this_process(self.close)
        atexit.register(self._close_at_exit)

    def __enter__(self) -> Self:
        self._write_files()
        self._start_epmd()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address of the default virtual host `/`."""
        return self.url_of("/")

    def url_of(self, vhost: str, *, port: int | None = None) -> str:
        """Return a virtual host's address; the port may be that of a proxy."""
        return f"amqp://guest:guest@{LOOPBACK}:{port or self.port}/{vhost}"

    def create_vhost(self, name: str) -> str:
        """Create a virtual host that the user guest may use, and return its address."""
        self._call(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>), '
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"tests">>), true'
        )
        return self.url_of(name)

    def create_user(self, vhost: str, name: str, password: str) -> str:
        """Create a user who may use a virtual host, and return its address for him."""
        self._call(
            f'ok = rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"{password}">>, <<"tests">>), '
            f'ok = rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{vhost}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"tests">>), true'
        )
        return self.url_of(vhost).replace("guest:guest", f"{name}:{password}")

    def delete_users(self, *names: str) -> None:
        """Delete users, and close their connections."""
        for name in names:
            self._call(f'ok = rabbit_auth_backend_internal:delete_user(<<"{name}">>, <<"tests">>), true')

    def change_password(self, name: str, password: str) -> None:
        """Change a user's password; who is connected stays connected."""
        self._call(
            f'ok = rabbit_auth_backend_internal:change_password(<<"{name}">>, <<"{password}">>, <<"tests">>), true'
        )

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host if there is one, with its queues and connections."""
        vhost = f'<<"{name}">>'
        for patience in (*range(4), None):  # A node that was frozen until just now may fail at it.
            try:
                self._call(f'rabbit_vhost:exists({vhost}) andalso rabbit_vhost:delete({vhost}, <<"tests">>), true')
            except ServiceError:
                if patience is None:
                    raise
                time.sleep(2)
            else:
                return

    def queues(self, vhost: str = "/") -> list[Queue]:
        """List the queues of a virtual host, by name."""
        fields = "[name, durable, exclusive, messages, consumers, arguments]"
        found = self._call(
            "[begin {resource, _, _, Name} = proplists:get_value(name, Q), "
            "Arguments = rabbit_misc:amqp_table(proplists:get_value(arguments, Q)), "
            "(maps:from_list(Q))#{name => Name, arguments => Arguments} end "
            f'|| Q <- rabbit_amqqueue:info_all(<<"{vhost}">>, {fields})]'
        )
        # A quorum queue's answer to "exclusive" is an empty string.
        queues = [Queue(**queue | {"exclusive": bool(queue["exclusive"])}) for queue in found]
        return sorted(queues, key=lambda queue: queue.name)

    def exchanges(self, vhost: str = "/") -> list[str]:
        """List the names of the exchanges of a virtual host."""
        return sorted(
            self._call(
                "[begin {resource, _, _, Name} = proplists:get_value(name, X), Name end "
                f'|| X <- rabbit_exchange:info_all(<<"{vhost}">>, [name])]'
            )
        )

    def heartbeats(self, vhost: str) -> list[int]:
        """List the intervals of the heartbeats of a virtual host's connections, seconds; 0 is none."""
        return list(
            self._call(
                "[proplists:get_value(timeout, C) || C <- rabbit_networking:connection_info_all([vhost, timeout]), "
                f'proplists:get_value(vhost, C) =:= <<"{vhost}">>]'
            )
        )

    def delete_queue_once_read(self, vhost: str, name: str, within: float = 20) -> bool:
        """Delete a queue at the instant at which it has a consumer; return whether it got one in time."""
        return bool(
            self._call(
                f'Name = rabbit_misc:r(<<"{vhost}">>, queue, <<"{name}">>), '
                f"Ends = erlang:monotonic_time(millisecond) + {round(within * 1000)}, "
                "Readers = fun() -> case rabbit_amqqueue:lookup(Name) of "
                "{ok, Q} -> {Q, rabbit_amqqueue:consumers(Q)}; _ -> {none, []} end end, "
                "Aim = fun Aim() -> case {Readers(), erlang:monotonic_time(millisecond) < Ends} of "
                "{{_, []}, true} -> timer:sleep(1), Aim(); "
                "{{_, []}, false} -> false; "
                '{{Read, _}, _} -> rabbit_amqqueue:delete(Read, false, false, <<"tests">>), true end end, '
                "Aim()"
            )
        )

    def raise_memory_alarm(self) -> None:
        """Have the node find that it uses too much memory: it reads no more from who publishes."""
        self._call("vm_memory_monitor:set_vm_memory_high_watermark(0.0001), true")

    def raise_disk_alarm(self) -> None:
        """Have the node find that its disk is full: it reads no more from who publishes."""
        self._call("rabbit_disk_monitor:set_disk_free_limit(1000000000000000000), true")

    def clear_alarms(self) -> None:
        """Take both alarms back."""
        self._call(
            "vm_memory_monitor:set_vm_memory_high_watermark(0.4), "
            "rabbit_disk_monitor:set_disk_free_limit(50000000), true"
        )

    @property
    def alarms(self) -> int:
        """How many alarms are raised."""
        return int(self._call("length(rabbit_alarm:get_alarms())"))

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return int(self._call("length(rabbit_networking:connections())"))

    @property
    def connections_made(self) -> int:
        """How many connections were ever made since the node has started."""
        return int(self._call("element(2, hd(ets:lookup(connection_churn_metrics, node())))"))

    def close_connections(self) -> int:
        """Close every connection, as an operator can, and return how many there were."""
        return int(
            self._call(
                "Open = rabbit_networking:connections(), "
                '[rabbit_networking:close_connection(Each, "by a test") || Each <- Open], length(Open)'
            )
        )

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against the node and return what it prints. Takes a second."""
        return self._run([_PROGRAMS / "rabbitmqctl", "--quiet", "-n", self.name, *arguments])

    def start(self) -> None:
        """Start the node on its ports and its data, and wait until it takes connections."""
        log = self._directory / "output.log"
        self._node = ProcessTree([_PROGRAMS / "rabbitmq-server"], log=log, env=self._environment)
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until the node has booted and its listener is open."""
        self._running.await_ready(self._is_ready, _START_TIMEOUT)

    def stop(self) -> None:
        """Shut the node down in an orderly way."""
        self._running.end(signal.SIGTERM, _STOP_TIMEOUT)

    def restart(self) -> None:
        """Shut down and start again, with what was durable."""
        self.stop()
        self.start()

    def settle(self) -> None:
        """Have the node write at once what it would write within three seconds: its list of quorum queues.

        A quorum queue that was declared shortly before a kill is unusable ever after (seen in 3.10.8): it is
        listed, but who reads from it or publishes to it gets no answer for a minute, then `INTERNAL_ERROR`.
        """
        self._call("[dets:sync(Table) || Table <- dets:all()], true")

    def kill(self) -> None:
        """Kill the node. Call `settle` before, unless new quorum queues are meant to be lost."""
        self._running.kill()

    def freeze(self) -> None:
        """Stop the node from running; connections stay open and nothing answers."""
        self._running.freeze()

    def thaw(self) -> None:
        """Let a frozen node run again."""
        self._running.thaw()

    def heal(self) -> None:
        """Thaw the node if it is frozen, start it if it has ended."""
        self.thaw()
        if not self._running.is_running:
            self.start()

    def close(self) -> None:
        """End the node and remove its data. Safe to run twice because what is gone is left alone."""
        atexit.unregister(self._close_at_exit)
        for tree in filter(None, (self._node, self._epmd)):
            tree.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def _running(self) -> ProcessTree:
        if self._node is None:
            raise ServiceError("this RabbitMQ was not started: use it in a with statement")
        return self._node

    @property
    def _environment(self) -> dict[str, str]:
        foreign = ("RABBITMQ_", "ERL_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return inherited | {
            "HOME": str(self._directory),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._directory / "log"),
            "RABBITMQ_PID_FILE": str(self._directory / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(self._directory / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self._directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._directory / "enabled_plugins"),
            # The counts of quorum queues are renewed every 500 ms; nobody outside the machine can join.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-rabbit quorum_tick_interval 500 -kernel inet_dist_use_interface {127,0,0,1}"
            ),
        }

    def _write_files(self) -> None:
        if not (_PROGRAMS / "rabbitmq-server").exists():
            raise ServiceError("RabbitMQ is missing; run: make services")
        cookie = self._directory / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        (self._directory / "rabbitmq.conf").write_text("log.file.level = warning\n")
        (self._directory / "enabled_plugins").write_text("[].\n")

    def _start_epmd(self) -> None:
        """Start the node's name server here, because the one Erlang would start outlives the node."""
        command = ["epmd", "-port", str(self._epmd_port), "-address", LOOPBACK]
        self._epmd = ProcessTree(command, log=self._directory / "epmd.log")
        self._epmd.await_ready(lambda: is_listening(self._epmd_port), _START_TIMEOUT)

    def _is_ready(self) -> bool:
        try:
            return is_listening(self.port) and self._call("rabbit:is_running()") is True
        except ServiceError:  # On a busy machine a node that starts may be too slow to answer.
            return False

    def _call(self, expression: str) -> Any:
        """Evaluate an Erlang expression in the node and return its value, by way of JSON."""
        code = f"io:put_chars(rabbit_json:encode(begin {expression} end)).\n"
        answer = self._ask([*_EVALUATE, "-sname", self.name, "-c", self._cookie], code)
        if not answer:
            raise ServiceError(f"the broker failed to evaluate: {expression}")
        return json.loads(answer)

    def _ask(self, command: Sequence[str | Path], code: str) -> str:
        """Run a call that changes nothing if it does not get through, once more where a busy node refused it."""
        try:
            return self._run(command, code)
        except ServiceError:
            time.sleep(1)
            return self._run(command, code)

    def _run(self, command: Sequence[str | Path], code: str = "") -> str:
        done = subprocess.run(
            command,
            input=code,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=_CALL_TIMEOUT,
        )
        if done.returncode != 0:
            raise ServiceError(f"{command} failed:\n{done.stdout}{done.stderr}")
        return done.stdout
