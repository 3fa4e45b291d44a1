"""Who can't be reached is told with host, port and reason, in one line that holds no secret."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from tests.support.services.bucket import new_bucket, running_s3
from tests.support.services.ports import LOOPBACK, free_ports
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote, inherited
from tests.support.waiting import wait_until
from worker.broker.connection import why_unverified
from worker.cli.doctor import ADVICE
from worker.client import Client
from worker.config.environment import Settings
from worker.database.engine import DatabaseError, create_database_engine, describe
from worker.database.schema import upgrade
from worker.errors import ConfigurationError

PASSWORD = "pa55word-9f2e"
NOBODY = "00000000-0000-4000-8000-000000000000"


def told(zygote: Zygote, *command: str, **environment: str) -> str:
    """Run a command that fails, and return its one line; a service's is one of its log."""
    done = zygote.run(*command, **environment)
    assert done.returncode == 3
    assert PASSWORD not in done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    return last.removeprefix("sam3d: ") if last.startswith("sam3d: ") else str(json.loads(last)["reason"])


def test_a_database_that_is_not_there(postgres: PrivatePostgres, zygote: Zygote) -> None:
    """Wrong host, port, user and name are told apart, by whatever asks the database."""
    (closed,) = free_ports(1)
    here = f"{LOOPBACK}:{postgres.port}"
    wrong = {
        f"postgres:{PASSWORD}@{LOOPBACK}:{closed}/postgres": f"{LOOPBACK}:{closed}: Connection refused",
        f"postgres:{PASSWORD}@no-such-host.invalid/postgres": "no-such-host.invalid:5432: failed to resolve host",
        f"nobody:{PASSWORD}@{here}/postgres": f'{here}: FATAL:  role "nobody" does not exist',
        f"postgres:{PASSWORD}@{here}/nothing": f'{here}: FATAL:  database "nothing" does not exist',
        f"postgres:{PASSWORD}@{here}/postgres?sslmode=verify-full&sslrootcert=/none": f"{here}: ",
        f"postgres:{PASSWORD}@{here}/postgres?sslmod=x": f'{here}: invalid connection option "sslmod"',
    }
    for address, reason in wrong.items():
        line = told(zygote, "jobs", SAM3D_DATABASE_URL=f"postgresql://{address}")
        assert line.startswith(f"The database refuses ({reason}")
        assert line.endswith("): check SAM3D_DATABASE_URL and that PostgreSQL runs.")
    line = told(zygote, "db", "upgrade", SAM3D_DATABASE_URL=f"postgresql://nobody@{here}/postgres")
    assert line.startswith(f'The database refuses ({here}: FATAL:  role "nobody"')


@contextmanager
def rude_server(reply: str) -> Iterator[int]:
    """Run what asks for a password in clear, and refuses it with a sentence of its own."""
    fields = (
        "".join(f"{name}{text}\0" for name, text in (("S", "FATAL"), ("C", "28P01"), ("M", reply))).encode() + b"\0"
    )
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
                client.recv(65536)
                client.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("password authentication failed", "FATAL:  password authentication failed"),
        (f"no {PASSWORD}!", "FATAL:  no …!"),
        ("\x1b]52;c;aGk=\x07\u202egnp", "FATAL:   ]52;c;aGk=  gnp"),
        ("first\nsecond", "FATAL:  first"),
        ("x" * 5000, "FATAL:  " + "x" * 192),
    ],
)
def test_what_a_server_says_is_shown_with_care(reply: str, reason: str) -> None:
    """It may be anybody: no echo of the password, no control character, no second line, no flood."""
    with rude_server(reply) as port:
        engine = create_database_engine(f"postgresql://bob:{PASSWORD}@{LOOPBACK}:{port}/x?sslmode=disable", 1)
        with pytest.raises(DatabaseError) as refused:
            engine.connect()
    assert describe(refused.value) == f"{LOOPBACK}:{port}: {reason}"


def test_a_worker_says_why_it_waits_for_the_database(zygote: Zygote, tmp_path: Path) -> None:
    """In each line of its log, until it is there."""
    (closed,) = free_ports(1)
    log = tmp_path / "log"
    url = f"postgresql://bob:{PASSWORD}@{LOOPBACK}:{closed}/x"
    worker = zygote.start(["worker"], {**inherited(), "SAM3D_DATABASE_URL": url}, log)
    wait_until(lambda: "database_unreachable" in log.read_text(), "the worker has tried")
    worker.terminate()
    worker.wait()
    assert f"{LOOPBACK}:{closed}: Connection refused" in log.read_text()
    assert PASSWORD not in log.read_text()


def test_a_download_without_a_database_is_our_error() -> None:
    """A producer catches what this package raises; it knows nothing of SQLAlchemy."""
    (closed,) = free_ports(1)
    client = Client(
        Settings().having(SAM3D_DATABASE_URL=SecretStr(f"postgresql://bob:{PASSWORD}@{LOOPBACK}:{closed}/x"))
    )
    with pytest.raises(ConfigurationError) as refused:
        client.download(NOBODY, "nowhere")
    assert str(refused.value).startswith(f"The database refuses ({LOOPBACK}:{closed}: Connection refused): ")
    assert not Path("nowhere").exists()


def test_a_broker_that_refuses(rabbitmq: PrivateRabbit, vhost_url: str, migrated_url: str, zygote: Zygote) -> None:
    """Wrong password, virtual host, rights and port are told apart, by each that asks it."""
    vhost, user = vhost_url.rpartition("/")[2], f"user-{uuid4().hex[:8]}"
    url = rabbitmq.create_user(vhost, user, PASSWORD)
    (closed,) = free_ports(1)
    here = f"{LOOPBACK}:{rabbitmq.port}"
    wrong = {
        url.replace(PASSWORD, f"not-{PASSWORD}"): f"{here}: wrong user or password",
        url.replace(vhost, "nothing"): f"{here}: no such virtual host, or this user may not use it",
        url.replace(f"{rabbitmq.port}/", f"{closed}/"): f"{LOOPBACK}:{closed}: Connection refused",
        url.replace(
            LOOPBACK, "no-such-host.invalid"
        ): f"no-such-host.invalid:{rabbitmq.port}: Name or service not known",
    }
    sentence = re.compile(r"The broker can't be reached \((.*)\): check SAM3D_BROKER_URL and that RabbitMQ runs\.")
    for address, reason in wrong.items():
        for command in (["dead", "list"], ["submit", "worker/photos/cat.png"]):
            found = sentence.fullmatch(told(zygote, *command, SAM3D_BROKER_URL=address))
            assert found
            assert found[1].startswith(reason)
        done = zygote.run("doctor", "--json", SAM3D_BROKER_URL=address, SAM3D_HISTORY="off")
        rows = {row["check"]: row["result"] for row in json.loads(done.stdout)}
        assert rows["broker"].startswith(reason)
    refused = url.replace(PASSWORD, f"not-{PASSWORD}")
    line = told(zygote, "worker", SAM3D_BROKER_URL=refused, SAM3D_DATABASE_URL=migrated_url)
    assert line.startswith(f"The broker can't be reached ({here}: wrong user or password")


def test_rights_that_are_missing(rabbitmq: PrivateRabbit, vhost_url: str, zygote: Zygote) -> None:
    """A user who may log in, and may do nothing there, has no wrong password."""
    vhost, user = vhost_url.rpartition("/")[2], f"user-{uuid4().hex[:8]}"
    url = rabbitmq.create_user(vhost, user, PASSWORD)
    rabbitmq.ctl("set_permissions", "-p", vhost, user, "^$", "^$", "^$")
    line = told(zygote, "submit", "worker/photos/cat.png", SAM3D_BROKER_URL=url)
    assert "the user may not configure, write and read everything in the virtual host" in line


def test_a_port_that_is_taken(zygote: Zygote, migrated_url: str) -> None:
    """The line names the port, and what sets it."""
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        for command in ("worker", "scheduler"):
            line = told(zygote, command, SAM3D_HEALTH_PORT=str(port), SAM3D_DATABASE_URL=migrated_url)
            assert line == f"SAM3D_HEALTH_PORT: nothing can listen on port {port}: Address already in use."
        line = told(zygote, "simulator", "--port", str(port))
        assert line.startswith(f"--port: nothing can listen on port {port}: ")
        line = told(zygote, "simulator", "--port", str(port), "--host", "no.such.host.invalid")
        assert "Unknown error" not in line, "the resolver has numbers of its own"


def test_a_doctor_advises_tls(zygote: Zygote, migrated_url: str) -> None:
    """In rows of their own, which change no exit code."""
    variables = {"SAM3D_BROKER_URL": "amqp://rabbit.invalid", "SAM3D_DATABASE_URL": migrated_url}
    done = zygote.run("doctor", "--json", SEGMIND_BASE_URL="http://127.0.0.1:1", SAM3D_HISTORY="off", **variables)
    rows = {row["check"]: row["result"] for row in json.loads(done.stdout)}
    assert rows["database-tls"] == "ok"
    assert rows["broker-tls"] == why_unverified("amqp://rabbit.invalid")


def test_a_doctor_tries_addresses(zygote: Zygote, migrated_url: str) -> None:
    """By fetching one; that the vendor may not get there is advice, and none of where is told."""
    with running_s3() as s3:
        store = {**s3, "SAM3D_STORE_URL": new_bucket(s3), "SAM3D_INPUT_ADDRESSES": "on", "SAM3D_HISTORY": "off"}
        vendors = ("https://vendor.invalid", "http://127.0.0.1:1")
        more = [{**store, "SAM3D_DATABASE_URL": migrated_url, "SEGMIND_BASE_URL": vendor} for vendor in vendors]
        done = [zygote.run("doctor", "--json", **each) for each in more]
    away, near = ({row["check"]: row["result"] for row in json.loads(each.stdout)} for each in done)
    assert (away["addresses"], near["addresses"]) == ("ok", "ok")
    assert away["addresses-reach"] == "An address of the store begins with http://, and not with https://."
    assert near["addresses-reach"] == "ok", "a simulator on this machine gets anywhere"
    assert "addresses-reach" in ADVICE


def test_migrations_say_why(postgres: PrivatePostgres) -> None:
    """They have an engine of their own."""
    with pytest.raises(DatabaseError) as refused:
        upgrade(f"postgresql+psycopg://nobody:{PASSWORD}@{LOOPBACK}:{postgres.port}/postgres")
    assert 'role "nobody" does not exist' in describe(refused.value)
