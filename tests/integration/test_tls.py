"""Nobody who can't prove to be the server that was asked for gets a byte of a user or a password."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.services.certificates import Authority, Certificate
from tests.support.services.impostor import Impostor
from tests.support.services.zygote import Zygote, inherited
from tests.support.waiting import wait_until
from worker.app import create_app
from worker.broker.connection import connection_options
from worker.broker.login import user_in_url
from worker.broker.topology import PUBLISH_ERRORS
from worker.client import Client
from worker.config.environment import Settings
from worker.database.engine import DatabaseError, create_database_engine, describe
from worker.database.schema import upgrade
from worker.errors import ConfigurationError
from worker.intake.inbox import Inbox

USER, PASSWORD = "shop-7c1d", "pa55word-9f2e"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Provide an authority that the settings of these tests trust."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def right(authority: Authority) -> Certificate:
    """Provide a certificate for the host that is asked for."""
    return authority.vouch_for("localhost")


@pytest.fixture(scope="module")
def wrong(authority: Authority) -> Certificate:
    """Provide one that is as trusted, for another host."""
    return authority.vouch_for("other.example")


def environment(broker: Impostor, authority: Authority, **more: str) -> dict[str, str]:
    """Return the settings of whoever takes the listener for the broker."""
    url = f"amqps://{USER}:{PASSWORD}@localhost:{broker.port}/models"
    return {"SAM3D_BROKER_URL": url, "SAM3D_BROKER_CA_FILE": str(authority.file), **more}


def connect_for_write(settings: Settings) -> None:
    """Connect as who publishes does: workers, the scheduler, the dead letters, the doctor."""
    app = create_app(settings, [])
    with app.connection_for_write() as connection:
        connection.connect()


def connect_for_read(settings: Settings) -> None:
    """Connect as Celery's consumer does."""
    app = create_app(settings, [])
    with app.connection_for_read() as connection:
        connection.connect()


def connect_inbox(settings: Settings) -> None:
    """Connect as the inbox does, by a clone of what it is given."""
    app = create_app(settings, [])
    with Inbox(app, app.services, app.connection_for_read()).create_connection() as connection:
        connection.connect()


def borrow(settings: Settings) -> None:
    """Connect as the pool that events and follow-ups are published by does."""
    app = create_app(settings, [])
    with app.producer_pool.acquire(block=True) as producer:
        assert producer.connection
        producer.connection.connect()


def connect_client(settings: Settings) -> None:
    """Connect as a producer does."""
    with Client(settings):
        pass


WAYS = [connect_for_write, connect_for_read, connect_inbox, borrow, connect_client]


@pytest.mark.parametrize("connect", WAYS)
@pytest.mark.parametrize("is_trusted_by_system", [False, True])
def test_an_impostor_is_told_nothing(
    connect: Callable[[Settings], None],
    is_trusted_by_system: bool,
    authority: Authority,
    wrong: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A certificate of another name is refused, whoever vouches for it."""
    with Impostor.of_rabbitmq(wrong) as impostor:
        variables = environment(impostor, authority)
        if is_trusted_by_system:
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            del variables["SAM3D_BROKER_CA_FILE"]
        with pytest.raises((*PUBLISH_ERRORS, ConfigurationError)):
            connect(Settings.of(variables))
        wait_until(lambda: impostor.handshakes + impostor.refused > 0, "the listener was met")
        assert impostor.told == b""


@pytest.mark.parametrize("connect", WAYS)
def test_the_right_broker_is_told_who_we_are(
    connect: Callable[[Settings], None], authority: Authority, right: Certificate
) -> None:
    """The same listener with the name that was asked for: so the test above can fail."""
    with Impostor.of_rabbitmq(right) as broker:
        with suppress(*PUBLISH_ERRORS, ConfigurationError):  # It hangs up once it knows.
            connect(Settings.of(environment(broker, authority)))
        wait_until(lambda: PASSWORD.encode() in broker.told, "the broker is told the password")
        assert broker.told.startswith(b"AMQP\0\0\x09\x01")
        assert b"PLAIN" in broker.told


def test_a_broker_that_nobody_vouches_for_is_told_nothing(right: Certificate, tmp_path: Path) -> None:
    """The right name alone proves nothing."""
    with Impostor.of_rabbitmq(right) as impostor:
        with pytest.raises(ConfigurationError, match="SAM3D_BROKER_CA_FILE"):
            connect_client(Settings.of(environment(impostor, Authority(tmp_path))))
        assert impostor.told == b""


def test_an_authority_that_changes_needs_no_restart(right: Certificate, authority: Authority, tmp_path: Path) -> None:
    """Its file is read with each connection."""
    (tmp_path / "old").mkdir()
    trusted = tmp_path / "trusted.pem"
    shutil.copy(Authority(tmp_path / "old").file, trusted)
    with Impostor.of_rabbitmq(right) as broker:
        variables = environment(broker, authority, SAM3D_BROKER_CA_FILE=str(trusted))
        app = create_app(Settings.of(variables), [])
        with pytest.raises(ssl.SSLCertVerificationError), app.connection_for_write() as connection:
            connection.connect()
        assert broker.told == b""
        shutil.copy(authority.file, trusted)
        with suppress(*PUBLISH_ERRORS), app.connection_for_write() as connection:
            connection.connect()
        wait_until(lambda: PASSWORD.encode() in broker.told, "the broker is told the password")


@pytest.mark.parametrize("user", ["", "models"])
def test_a_certificate_says_who_we_are(authority: Authority, right: Certificate, user: str) -> None:
    """Where the URL has no password, none is made up for it; its user is whom the broker knows by the certificate."""
    ours = authority.vouch_for("worker.example")
    with Impostor.of_rabbitmq(right) as broker:
        variables = environment(broker, authority) | {
            "SAM3D_BROKER_URL": f"amqps://{user}@localhost:{broker.port}/models",
            "SAM3D_BROKER_CERT_FILE": str(ours.certificate),
            "SAM3D_BROKER_KEY_FILE": str(ours.key),
        }
        app = create_app(Settings.of(variables), [])
        assert user_in_url(app.producer_pool) == (user or None)
        with suppress(*PUBLISH_ERRORS):
            connect_for_write(Settings.of(variables))
        wait_until(lambda: b"EXTERNAL" in broker.told, "the broker is told")
        assert b"guest" not in broker.told


def test_a_worker_tells_an_impostor_nothing(
    migrated_url: str, authority: Authority, wrong: Certificate, zygote: Zygote, tmp_path: Path
) -> None:
    """It says host, port, reason and setting, and tries again."""
    log = tmp_path / "log"
    with Impostor.of_rabbitmq(wrong) as impostor:
        variables = environment(impostor, authority, SAM3D_DATABASE_URL=migrated_url)
        worker = zygote.start(["worker"], {**inherited(), **variables}, log)
        wait_until(lambda: "broker_unreachable" in log.read_text(), "the worker has tried")
        worker.terminate()
        worker.wait()
        assert impostor.told == b""
    text = log.read_text()
    assert f"localhost:{impostor.port}: its certificate is refused (Hostname mismatch, certificate is not" in text
    assert "SAM3D_BROKER_CA_FILE" in text
    assert PASSWORD not in text


@pytest.mark.parametrize("command", [["doctor", "--json"], ["dead", "list"]])
def test_a_command_tells_an_impostor_nothing(
    command: list[str], authority: Authority, wrong: Certificate, zygote: Zygote
) -> None:
    """It says why, and ends with the code of a wrong service."""
    with Impostor.of_rabbitmq(wrong) as impostor:
        variables = environment(
            impostor, authority, SAM3D_DATABASE_URL="postgresql://127.0.0.1:1/x", SAM3D_HISTORY="off"
        )
        done = zygote.run(*command, SEGMIND_BASE_URL="http://127.0.0.1:1", **variables)
        assert impostor.told == b""
    assert done.returncode == 3
    assert "Hostname mismatch" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def database_url(server: Impostor, authority: Authority) -> str:
    """Return the address that a person writes who wants the database verified."""
    return (
        f"postgresql+psycopg://{USER}:{PASSWORD}@localhost:{server.port}/models"
        f"?sslmode=verify-full&sslrootcert={authority.file}"
    )


def test_a_false_database_is_told_nothing(authority: Authority, wrong: Certificate) -> None:
    """With `verify-full`: neither by the engine nor by the migrations."""
    with Impostor.of_postgresql(wrong) as impostor:
        url = database_url(impostor, authority)
        with pytest.raises(DatabaseError) as refused:
            create_database_engine(url, 1).connect()
        with pytest.raises(DatabaseError):
            upgrade(url)
        assert impostor.told == b""
    assert describe(refused.value).startswith(f"localhost:{impostor.port}: server certificate for")
    assert "does not match host name" in describe(refused.value)


def test_the_right_database_is_told_who_we_are(authority: Authority, right: Certificate) -> None:
    """The same listener with the name that was asked for: so the test above can fail."""
    with Impostor.of_postgresql(right) as server:
        with pytest.raises(DatabaseError) as refused:
            create_database_engine(database_url(server, authority), 1).connect()
        wait_until(lambda: PASSWORD.encode() in server.told, "the server is told the password")
        assert USER.encode() in server.told
    assert PASSWORD not in describe(refused.value)


def broker_settings(**more: object) -> Settings:
    """Return settings with a broker that is never met."""
    return Settings().having(SAM3D_BROKER_URL="amqps://shop:x@rabbit.example/models").having(**more)


def locked(key: Path) -> Path:
    """Return a copy of a key that asks for a passphrase."""
    copy = key.with_suffix(".locked")
    subprocess.run(["openssl", "pkey", "-in", key, "-out", copy, "-aes256", "-passout", "pass:1234"], check=True)
    return copy


def test_files_of_tls_are_read_before_anything_is_connected(
    authority: Authority, right: Certificate, tmp_path: Path
) -> None:
    """What can't be used is told by its setting, in one line."""
    other = authority.vouch_for("third.example")
    empty = tmp_path / "empty.pem"
    empty.touch()
    wrong_ones: list[tuple[dict[str, object], str]] = [
        (
            {"SAM3D_BROKER_CA_FILE": tmp_path / "none.pem"},
            "SAM3D_BROKER_CA_FILE is no file of certificates (PEM): No such",
        ),
        ({"SAM3D_BROKER_CA_FILE": empty}, "SAM3D_BROKER_CA_FILE is no file of certificates (PEM): "),
        (
            {"SAM3D_BROKER_KEY_FILE": right.key},
            "SAM3D_BROKER_KEY_FILE needs the certificate in SAM3D_BROKER_CERT_FILE.",
        ),
        ({"SAM3D_BROKER_CERT_FILE": right.certificate}, "SAM3D_BROKER_CERT_FILE and SAM3D_BROKER_KEY_FILE are no "),
        (
            {"SAM3D_BROKER_CERT_FILE": right.certificate, "SAM3D_BROKER_KEY_FILE": other.key},
            "SAM3D_BROKER_CERT_FILE and SAM3D_BROKER_KEY_FILE are no certificate and its key",
        ),
        (
            {"SAM3D_BROKER_CERT_FILE": right.certificate, "SAM3D_BROKER_KEY_FILE": locked(right.key)},
            "SAM3D_BROKER_CERT_FILE and SAM3D_BROKER_KEY_FILE are no certificate and its key without a passphrase",
        ),
        (
            {"SAM3D_BROKER_URL": SecretStr("amqp://rabbit.example"), "SAM3D_BROKER_CA_FILE": authority.file},
            "SAM3D_BROKER_CA_FILE is for TLS: SAM3D_BROKER_URL must begin with amqps:// then.",
        ),
    ]
    for given, sentence in wrong_ones:
        with pytest.raises(ConfigurationError) as refused:
            connection_options(broker_settings(**given).broker)
        assert str(refused.value).startswith(sentence)
        assert "\n" not in str(refused.value)


def test_the_name_is_the_one_in_the_url(authority: Authority, right: Certificate) -> None:
    """Chain and name, with what was given; without TLS there is none of it."""
    options = connection_options(
        broker_settings(
            SAM3D_BROKER_CA_FILE=authority.file,
            SAM3D_BROKER_CERT_FILE=right.certificate,
            SAM3D_BROKER_KEY_FILE=right.key,
        ).broker
    )
    assert options["ssl"] == {
        "server_hostname": "rabbit.example",
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": str(authority.file),
        "certfile": str(right.certificate),
        "keyfile": str(right.key),
    }
    plain = connection_options(broker_settings(SAM3D_BROKER_URL=SecretStr("amqp://rabbit.example")).broker)
    assert plain["ssl"] is False
