"""TCP ports on which a server can listen, and listen again after it was killed."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

LOOPBACK = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 15_000
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Return distinct ports that nobody listens on.

    They lie below the range from which the kernel takes the ports of outgoing connections. Otherwise a client
    that tries to reconnect while its server is down could be given the server's port, and connect to itself.
    """
    candidates = random.sample(range(_LOWEST, _first_outgoing_port()), _TRIES)
    with ExitStack() as held:
        free = (port for port in candidates if _hold(port, held))
        return [next(free) for _ in range(count)]


def is_listening(port: int) -> bool:
    """Tell whether a connection to the port on the loopback interface is accepted."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _first_outgoing_port() -> int:
    return int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768


def _hold(port: int, held: ExitStack) -> bool:
    listener = held.enter_context(socket.socket())
    try:
        listener.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
