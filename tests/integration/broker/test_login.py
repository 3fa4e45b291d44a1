"""A broker that knows us by another name than its URL has: what a sender wrote goes on, and nobody can be forged."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection
from kombu.message import Message
from pydantic import SecretStr
from structlog.testing import capture_logs

from tests.support.services.proxy import Proxy
from tests.support.services.rabbitmq import PrivateRabbit
from worker.app import App, create_app
from worker.broker import login, quarantine
from worker.broker.login import user_of
from worker.broker.publishing import publish
from worker.broker.quarantine import origin_of, put_aside
from worker.broker.topology import DEAD, INBOX, declare
from worker.config.environment import Settings
from worker.errors import TransientError
from worker.rules.origin import SOURCE

URL_USER, OTHER, PASSWORD = "shop-a", "shop-b", "secret"


@dataclass
class Desk:
    """An app behind a proxy, and what lies in the broker."""

    app: App
    proxy: Proxy
    url: str
    alices_url: str

    def received(self, user: str = "alice", **headers: str) -> Message:
        """Let a message of a user come that says whose it is."""
        url = self.alices_url.replace("alice:", f"{user}:")
        with Connection(url, transport_options={"confirm_publish": True}) as connection:
            connection.Producer().publish(b"{", routing_key=INBOX, user_id=user, headers=headers)
        return self._taken(INBOX)

    def letter(self) -> Message:
        """Take a dead letter."""
        return self._taken(DEAD)

    def _taken(self, queue: str) -> Message:
        with Connection(self.url) as connection:
            channel: Any = connection.default_channel
            message: Message = channel.basic_get(queue, no_ack=True)
            return message


@pytest.fixture
def desk(rabbitmq: PrivateRabbit, vhost_url: str, vhost: str) -> Iterator[Desk]:
    """Provide an app whose proxy logs it in as the URL says, as long as it is not told otherwise."""
    with Connection(vhost_url) as connection:
        declare(connection)
    for user in (URL_USER, OTHER, "alice"):
        rabbitmq.create_user(vhost, user, PASSWORD)
    alices_url = vhost_url.replace("guest:guest", f"alice:{PASSWORD}")
    with Proxy(rabbitmq.port) as proxy:
        url = rabbitmq.url_of(vhost, port=proxy.port).replace("guest:guest", f"{URL_USER}:{PASSWORD}")
        with closing(create_app(Settings().having(SAM3D_BROKER_URL=SecretStr(url)), [])) as app:
            yield Desk(app, proxy, vhost_url, alices_url)
    rabbitmq.delete_users(URL_USER, OTHER, "alice")


def test_a_message_that_is_sent_on_stays_its_senders(desk: Desk) -> None:
    """The broker knows us by the name in the URL: we say whose it was, in a message of ours."""
    producers, message = desk.app.producer_pool, desk.received()
    assert origin_of(message, producers).source == "user alice"
    put_aside(producers, message, "why")
    letter = desk.letter()
    assert (letter.properties["user_id"], letter.headers[SOURCE]) == (URL_USER, "user alice")
    assert origin_of(letter, producers).source == "user alice"


def test_a_message_goes_on_where_the_broker_knows_us_by_another_name(desk: Desk) -> None:
    """It is nobody's then, all along; that is told once, with what mends it."""
    desk.proxy.log_in_as(URL_USER, OTHER)
    producers = desk.app.producer_pool
    with capture_logs() as logs:
        for _ in range(20):  # More than the pool has producers.
            message = desk.received()
            assert origin_of(message, producers).source == ""
            put_aside(producers, message, "why")
            letter = desk.letter()
            assert "user_id" not in letter.properties
            assert origin_of(letter, producers).source == ""
    (told,) = [line for line in logs if line["event"] == "senders_unknown"]
    assert "SAM3D_BROKER_URL" in told["next"]


def test_nobody_is_another_under_a_name_that_is_not_ours(desk: Desk) -> None:
    """Who is called as our URL says, and is not us, says in vain that he sends on what is Alice's."""
    desk.proxy.log_in_as(URL_USER, OTHER)
    forged = desk.received(URL_USER, **{SOURCE: "user alice"})
    assert origin_of(forged, desk.app.producer_pool).source == ""


def test_a_name_that_changes_meanwhile_holds_nothing_up(desk: Desk) -> None:
    """The first message that is refused under the old one goes on without, and so do all after it."""
    producers = desk.app.producer_pool
    put_aside(producers, desk.received(), "why")
    assert SOURCE in desk.letter().headers
    desk.proxy.log_in_as(URL_USER, OTHER)
    desk.proxy.reset()
    with capture_logs() as logs:
        put_aside(producers, desk.received(), "why")
    assert SOURCE not in desk.letter().headers
    assert [line["event"] for line in logs] == ["senders_unknown", "message_quarantined"]
    assert user_of(producers) is None


def test_what_is_refused_for_another_reason_takes_no_name(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is asked for the name alone: a message that it does not take stays, and with it whose it is."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise PreconditionFailed

    producers, message = desk.app.producer_pool, desk.received()
    assert user_of(producers) == URL_USER
    monkeypatch.setattr(quarantine, "publish", refuse)
    with pytest.raises(PreconditionFailed):
        put_aside(producers, message, "why")
    assert user_of(producers) == URL_USER


def test_who_can_not_ask_the_broker_reads_the_message_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for nobody's meanwhile: that would be another request."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise TimeoutError

    message = desk.received()
    with monkeypatch.context() as outage:
        outage.setattr(login, "publish", fail)
        with pytest.raises(TransientError):
            origin_of(message, desk.app.producer_pool)
    assert origin_of(message, desk.app.producer_pool).source == "user alice"


def test_refusals_leave_the_pool_whole(desk: Desk, rabbitmq: PrivateRabbit) -> None:
    """Each closes a channel: its producer is had again, and so is its connection."""
    producers, others = desk.app.producer_pool, rabbitmq.connections
    for _ in range(20):
        with pytest.raises(PreconditionFailed):
            publish(producers, b"", exchange="", routing_key=DEAD, user_id=OTHER)
    assert publish(producers, b"", exchange="", routing_key=DEAD, user_id=URL_USER)
    assert rabbitmq.connections <= others + 1
