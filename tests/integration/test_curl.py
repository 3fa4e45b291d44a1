"""A request by curl, as the README writes it, through the HTTP API of the broker's management plugin."""

import subprocess
from collections.abc import Iterator

import pytest
from kombu import Connection

from tests.documents import README, code_of
from tests.support.services.ports import LOOPBACK, free_ports, is_listening
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.delivery import as_mapping, body_bytes
from worker.broker.topology import declare, inbox_queue
from worker.intake.envelope import open_envelope
from worker.intake.request import parse_request


class ManagedRabbit(PrivateRabbit):
    """A node with the management plugin."""

    def __init__(self) -> None:
        super().__init__()
        [self.http_port] = free_ports(1)

    def _write_files(self) -> None:
        super()._write_files()
        (self._directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
        with (self._directory / "rabbitmq.conf").open("a") as settings:
            settings.write(f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {self.http_port}\n")


@pytest.fixture
def managed() -> Iterator[ManagedRabbit]:
    """Provide a broker that has the HTTP API."""
    with ManagedRabbit() as node:
        wait_until(lambda: is_listening(node.http_port), "the HTTP API listens")
        yield node


def test_the_line_of_the_readme_sends_a_request(managed: ManagedRabbit) -> None:
    """The broker has a queue for it, and the inbox reads a request of it."""
    with Connection(managed.url) as connection:
        declare(connection)
        line, _, answer = code_of(README, "curl").removeprefix("$ ").rstrip().rpartition("\n")
        command = line.replace("127.0.0.1:15672", f"{LOOPBACK}:{managed.http_port}")
        done = subprocess.run(["bash", "-c", f"{command} -sS"], capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout == answer
        message = inbox_queue(connection.channel()).get(no_ack=True)
        assert message
    envelope = open_envelope(body_bytes(message.body), message.content_type, as_mapping(message.headers), None)
    assert parse_request(envelope.fields).image.url == "https://example.com/cup.jpg"
