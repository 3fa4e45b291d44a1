"""Listeners that speak TLS and just enough of a server's protocol to be told a user and a password.

They keep whatever they are sent after the handshake of TLS, which is nothing where their certificate is refused.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from amqp.serialization import dumps

from tests.support.services.certificates import Certificate
from tests.support.services.ports import LOOPBACK, free_ports

SILENCE_SECONDS = 20.0
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_CLEARTEXT_PASSWORD = b"R" + (8).to_bytes(4) + (3).to_bytes(4)

Talk = Callable[[ssl.SSLSocket], None]


class Impostor:
    """A server that is not the one that was asked for, unless its certificate says so."""

    def __init__(self, certificate: Certificate, greet: Callable[[socket.socket], None], talk: Talk) -> None:
        self.port = free_ports(1)[0]
        self.told = b""
        self.handshakes, self.refused = 0, 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.certificate, certificate.key)
        self._greet, self._talk = greet, talk
        self._listener = socket.create_server((LOOPBACK, self.port))

    @classmethod
    def of_rabbitmq(cls, certificate: Certificate) -> Self:
        """Greet like RabbitMQ, which asks for user and password after the client's first eight bytes."""
        return cls(certificate, lambda _: None, lambda client: client.sendall(_connection_start()))

    @classmethod
    def of_postgresql(cls, certificate: Certificate) -> Self:
        """Greet like PostgreSQL, which agrees to TLS when it is asked to, and then asks for the password in clear."""

        def agree(client: socket.socket) -> None:
            if client.recv(8) == _SSL_REQUEST:
                client.sendall(b"S")

        return cls(certificate, agree, lambda client: client.sendall(_CLEARTEXT_PASSWORD))

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # The test is over.
                return
            with client, suppress(OSError):
                self._hear(client)

    def _hear(self, plain: socket.socket) -> None:
        plain.settimeout(SILENCE_SECONDS)
        self._greet(plain)
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            self.refused += 1
            raise
        self.handshakes += 1  # With TLS 1.3 that is before the client has looked at the certificate.
        with client:
            self.told += client.recv(65536)
            self._talk(client)
            self.told += client.recv(65536)


def _connection_start() -> bytes:
    """Write the frame of RabbitMQ's first method (AMQP 0-9-1, connection.start)."""
    payload = (10).to_bytes(2) + (10).to_bytes(2)
    payload += dumps("ooFSS", (0, 9, {"product": "RabbitMQ"}, "PLAIN EXTERNAL", "en_US"))
    return b"\x01\0\0" + len(payload).to_bytes(4) + payload + b"\xce"
