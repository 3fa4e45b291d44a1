"""What the code leans on in libraries beyond what they document: a release that changes it is seen here first.

Each name is used as the code uses it. What is imported is declared, and what is private is capped in pyproject.
"""

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import amqp
import amqp.transport
import httpcore
import httpx
import psycopg
import pydantic
import pytest
from amqp import spec
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic, dumps, loads
from celery import Celery, bootsteps
from celery.app.amqp import AMQP
from celery.apps import worker as celery_program
from celery.worker import consumer, loops, request, strategy
from celery.worker.consumer import tasks
from kombu import Connection, Consumer, Producer, Queue
from kombu.asynchronous.timer import Timer
from kombu.message import Message
from kombu.mixins import ConsumerMixin
from kombu.pools import ProducerPool
from kombu.transport.pyamqp import Channel
from psycopg import pq
from pydantic_core import PydanticCustomError
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer
from waitress.task import ThreadedTaskDispatcher

from worker.broker import topology
from worker.broker.connection import connection_options
from worker.config.environment import Settings
from worker.intake.consumer import Consumer as OurConsumer

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())
PRIVATE_NAMES = {"_active_tags", "_decoded_cache", "_pool"}
"""Private attributes of libraries that the code reads or sets; each has a test below."""

program: Any = celery_program

CAPPED = ("amqp", "celery", "httpcore", "httpx", "kombu", "psycopg", "pydantic-core", "sqlalchemy", "waitress")


def sources() -> Iterator[str]:
    """Give the text of each module."""
    return (path.read_text() for path in Path("worker").rglob("*.py"))


def normal(name: str) -> str:
    """Write a distribution's name as pyproject does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> dict[str, str]:
    """Return what the project depends on by itself, and in its extras, with the versions."""
    project = PROJECT["project"]
    given = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    split = (re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?(.*)", each) for each in given)
    return {normal(each[1]): each[2] for each in split if each}


def imported() -> set[str]:
    """Return the packages that the code imports from outside."""
    names: set[str] = set()
    for node in (node for text in sources() for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"worker"}


def test_what_is_imported_is_declared() -> None:
    """A dependency of a dependency may be gone with its next release."""
    distributions = packages_distributions()
    missing = {
        name for name in imported() if not {normal(each) for each in distributions.get(name, [name])} & set(declared())
    }
    assert missing == set()


@pytest.mark.parametrize("name", CAPPED)
def test_what_is_leant_on_is_capped(name: str) -> None:
    """A release that may change what is not documented comes when somebody asks for it."""
    assert "<" in declared()[name]


def test_each_private_name_is_known_here() -> None:
    """Whoever needs another one adds its test."""
    marked = [line for text in sources() for line in text.splitlines() if "noqa: SLF001" in line]
    assert {name for line in marked for name in re.findall(r"\.(_\w+)", line)} == PRIVATE_NAMES


def names_of(function: Callable[..., object]) -> list[str]:
    """Return the names of a function's parameters."""
    return list(inspect.signature(function).parameters)


# py-amqp


def read_through(make: Callable[..., Callable[[tuple[int, int, bytes]], bool]]) -> list[Any]:
    """Have frames of one delivery read, and return what came of them."""
    got: list[Any] = []
    handle = make(amqp.Connection(), lambda *delivered: got.append(delivered))
    sent = b"".join(number.to_bytes(2) for number in spec.Basic.Deliver) + dumps("sLbss", ("tag", 7, False, "x", "key"))
    header = (60).to_bytes(2) + bytes(2) + (2).to_bytes(8) + b"\x20\0" + dumps("F", ({"a": "b"},))
    assert [handle((1, 3, sent)), handle((2, 3, header)), handle((3, 3, b"{}"))] == [False, False, True]
    return got


def test_frames_go_through_a_handler_of_ours() -> None:
    """``frame_handler``: made with the connection and a callback, called with (kind, channel, payload)."""
    assert "frame_handler" in names_of(amqp.Connection.__init__)
    assert names_of(frame_handler)[:2] == ["connection", "callback"]
    for make in (frame_handler, topology.CONNECTION["frame_handler"]):
        ((channel, method, arguments, message),) = read_through(make)
        assert (channel, method, message.body) == (3, spec.Basic.Deliver, b"{}")
        assert message.properties == {"application_headers": {"a": "b"}}
        assert loads("sLbss", arguments, 4)[0] == ["tag", 7, False, "x", "key"]


def test_a_delivery_and_its_header_are_where_they_are_cut() -> None:
    """The method's two numbers, then the tag; the properties from the twelfth byte on."""
    assert tuple(spec.Basic.Deliver) == (60, 60)
    header = bytes(12) + b"\x80\0" + dumps("s", ("application/json",))
    properties, end = decode_properties_basic(header, 12)
    assert (properties, end) == ({"content_type": "application/json"}, len(header))


def test_a_connection_knows_our_options() -> None:
    """Those that kombu hands on; an unknown one is swallowed without a word."""
    ours = set(topology.CONNECTION) - {"max_retries", "interval_start", "interval_max"}
    assert ours <= set(names_of(amqp.Connection.__init__))
    connection: Any = Connection
    ensured = set(names_of(connection._ensure_connection))
    assert {"max_retries", "interval_start", "interval_step", "interval_max", "reraise_as_library_errors"} <= ensured


def test_the_options_of_tls_are_known() -> None:
    """``SSLTransport._wrap_socket_sni`` verifies the name that it is given, and none where it is given none."""
    given = connection_options(Settings.of({"SAM3D_BROKER_URL": "amqps://rabbit.example"}).broker)["ssl"]
    transport: Any = amqp.transport.SSLTransport
    assert set(given) <= set(names_of(transport._wrap_socket_sni))
    assert {"ssl", "login_method", "transport_options"} <= set(names_of(Connection.__init__))


def test_a_refusal_names_its_method() -> None:
    """A refused login has none; that is how it is told from a missing right."""
    assert not amqp.AccessRefused("no", (0, 0), reply_code=403).method_name
    assert amqp.AccessRefused("no", (50, 10), reply_code=403).method_name == "Queue.declare"
    assert amqp.NotAllowed("no", (10, 40), reply_code=530).method_name == "Connection.open"


def test_a_channel_has_its_callbacks_and_events() -> None:
    """``callbacks`` by consumer tag, ``auto_decode`` for bodies, ``events`` for what the broker gives back."""
    channel: Any = Channel(amqp.Connection(), 1)
    assert channel.callbacks == {}
    assert channel.auto_decode is True

    def hear(*_: object) -> None:
        """Take what the broker gives back."""

    Producer(channel, on_return=hear, auto_declare=False)
    assert hear in channel.events["basic_return"]
    channel.events.pop("basic_return", None)


def test_a_channels_class_publishes_without_waiting() -> None:
    """``Channel.basic_publish``, which a channel with confirms waits in; they come to ``events`` by their number."""
    confirming: Any = amqp.Connection(confirm_publish=True)
    channel: Any = Channel(confirming, 1)
    assert channel.basic_publish == channel.basic_publish_confirm
    waits = inspect.getsource(amqp.Channel.basic_publish_confirm)
    assert "self.wait(" in waits
    assert "wait" not in inspect.getsource(amqp.Channel.basic_publish).replace("to wait maximum", "")
    assert {"msg", "exchange", "routing_key", "mandatory"} <= set(names_of(amqp.Channel.basic_publish))
    heard: list[Any] = []
    for name in ("basic_ack", "basic_nack"):
        channel.events[name].add(lambda *said, name=name: heard.append((name, *said)))
    for method in (spec.Basic.Ack, spec.Basic.Nack):
        channel.dispatch_method(method, bytes(4) + dumps("Lb", (7, True)), None)
    assert heard == [("basic_ack", 7, True), ("basic_nack", 7, True)]


def test_a_message_that_is_given_back_has_its_properties() -> None:
    """``events["basic_return"]`` is called with the error, the exchange, the routing key and the message."""
    channel: Any = Channel(amqp.Connection(), 1)
    given: list[Any] = []
    channel.events["basic_return"].add(lambda *said: given.append(said))
    message = amqp.Message(b"", message_id="id")
    channel.dispatch_method(spec.Basic.Return, bytes(4) + dumps("Bsss", (312, "NO_ROUTE", "x", "key")), message)
    ((error, exchange, key, back),) = given
    assert (error.reply_code, exchange, key, back.properties) == (312, "x", "key", {"message_id": "id"})


# kombu


def test_a_pool_of_producers_has_its_connections() -> None:
    """``ProducerPool.connections``: one of them is kept, connected, read, given up and given back."""
    pool: Any = ProducerPool(Connection("memory://names").Pool(limit=1), limit=1)
    kept = pool.connections.acquire(block=True, timeout=1)
    kept.ensure_connection(**topology.CONFIRMED["retry_policy"])
    assert kept.connected
    kept.collect()
    kept.release()
    assert pool.connections.acquire(block=True, timeout=1) is kept
    assert names_of(Connection.drain_events) == ["self", "kwargs"]
    assert {"body", "priority", "content_type", "content_encoding", "headers", "properties"} <= set(
        names_of(Channel.prepare_message)
    )


def test_a_consumer_knows_the_tags_of_its_queues() -> None:
    """``Consumer._active_tags``: by the queue's name."""
    with Connection("memory://names") as connection, connection.channel() as channel:
        reading: Any = Consumer(channel, [Queue("q")])
        reading.consume()
        assert list(reading._active_tags) == ["q"]
        assert isinstance(reading._active_tags["q"], str)
        assert [queue.name for queue in reading.queues] == ["q"]
        assert reading.channel is channel


def test_a_consumer_begins_to_read_a_queue_in_one_method() -> None:
    """``Consumer._basic_consume`` is called for each queue, with the queue first."""
    reading: Any = Consumer
    assert names_of(reading._basic_consume)[:2] == ["self", "queue"]
    assert "self._basic_consume(" in inspect.getsource(reading._consume_queues)


def test_a_payload_that_is_there_is_not_read_again() -> None:
    """``Message._decoded_cache``: Celery's strategy asks for the payload of each message."""
    message: Any = Message(body="{", content_type="application/json")
    message._decoded_cache = ["read"]
    assert message.payload == ["read"]


def test_a_body_is_left_as_it_came() -> None:
    """``Channel.auto_decode``: py-amqp makes text of a body where that is on."""
    channel: Any = Channel(amqp.Connection(), 1)
    assert channel.auto_decode
    assert "self.auto_decode and" in inspect.getsource(type(channel).dispatch_method)


def test_a_connection_can_be_given_up_and_read_otherwise() -> None:
    """``collect`` closes without asking; ``drain_events`` and ``ensure_connection`` can be replaced on one."""
    connection: Any = Connection("memory://names")
    connection.connect()
    connection.drain_events = lambda: "read"
    assert connection.drain_events() == "read"
    connection.collect()
    assert not connection.connected
    assert Connection("amqp://").transport.driver_type == "amqp"
    assert names_of(ProducerPool.acquire)[1:] == ["block", "timeout"]
    assert hasattr(Producer(Connection("memory://names"), auto_declare=False), "on_return")


def test_the_mixin_calls_what_the_inbox_overrides() -> None:
    """Each hook is there under its name."""
    hooks = ("create_connection", "get_consumers", "on_connection_error", "on_connection_revived", "on_consume_ready")
    assert all(callable(getattr(ConsumerMixin, hook)) for hook in (*hooks, "on_decode_error", "on_iteration", "run"))
    assert ConsumerMixin.should_stop is False
    assert "ensure_connection" in inspect.getsource(ConsumerMixin)


# Celery


def test_the_worker_is_built_of_steps_that_we_know() -> None:
    """One step is delayed delivery, which is left out; ours name those that they come after."""
    steps = [str(step) for step in consumer.Consumer.Blueprint.default_steps]
    assert len([step for step in steps if "delayed_delivery" in step]) == 1
    assert "celery.worker.consumer.connection:Connection" in steps
    assert isinstance(bootsteps.RUN, int)  # type: ignore[attr-defined]
    app = Celery(set_as_current=False)
    assert isinstance(app.steps["worker"], set)
    assert app.conf.worker_consumer == "celery.worker.consumer:Consumer"
    assert "celery.worker.components:Pool" in [str(step) for step in app.WorkController.Blueprint.default_steps]


def test_what_the_consumer_overrides_is_called() -> None:
    """Each method that ours has in its place is one of Celery's."""
    ours = {name for name, each in vars(OurConsumer).items() if inspect.isfunction(each) and not name.startswith("_")}
    assert len(ours) >= 9
    assert {name for name in ours if not hasattr(consumer.Consumer, name)} == set()
    assert callable(Timer.call_repeatedly)


def test_a_request_is_made_of_what_ours_hands_on() -> None:
    """``Request``: named by a task, its base is ours; headers and body are those given, the body as it was decoded."""
    assert {"app", "headers", "body", "decoded"} <= set(names_of(request.Request.__init__))
    assert "symbol_by_name(task.Request)" in inspect.getsource(strategy.default)
    module: Any = request
    own = module.create_request_cls
    assert names_of(own)[0] == "base"
    assert "app.use_fast_trace_task" in inspect.getsource(own)
    app: Any = Celery(set_as_current=False)
    assert app.use_fast_trace_task is False


def test_queues_are_read_by_a_consumer_of_ours() -> None:
    """``AMQP.Consumer`` is asked for; ``Consumer._basic_consume`` subscribes to a queue at a time."""
    assert "c.app.amqp.TaskConsumer(" in inspect.getsource(tasks.Tasks.start)
    assert "self.Consumer(" in inspect.getsource(AMQP.TaskConsumer)
    called: list[str] = []

    class Own(Consumer):
        def _basic_consume(self, queue: Any, *_: Any, **__: Any) -> str:
            called.append(queue.name)
            return "tag"

    with Connection("memory://names") as connection, connection.channel() as channel:
        Own(channel, [Queue("a"), Queue("b")]).consume()
    assert called == ["a", "b"]


def test_what_celery_says_in_a_signal_is_said_by_one_function() -> None:
    """``safe_say``, found by its name in the module."""
    assert names_of(program.safe_say)[0] == "msg"
    assert "safe_say(" in inspect.getsource(program._shutdown_handler)


def test_the_first_look_swallows_errors_without_a_number() -> None:
    """``_quick_drain``, the reason why errors of ours have one."""

    class Reader:
        def drain_events(self, **_: float) -> None:
            raise amqp.NotAllowed("gone")

    loops._quick_drain(Reader())  # type: ignore[attr-defined]


# waitress


def test_a_server_of_connections_is_looked_after_as_ours_does() -> None:
    """Its own ``maintenance`` can be another; a channel tells what it is at, and can be closed at once."""
    assert "self.maintenance(now)" in inspect.getsource(BaseWSGIServer.readable)
    said = inspect.getsource(HTTPChannel)
    for name in ("requests", "request", "total_outbufs_len", "last_activity"):
        assert hasattr(HTTPChannel, name) or f"self.{name} = " in said
    assert names_of(HTTPChannel.handle_close) == ["self"]
    assert "self.server.active_channels[self._fileno] = self" in inspect.getsource(HTTPChannel.add_channel)
    assert {"timeout", "use_poll", "map", "count"} <= set(names_of(BaseWSGIServer.asyncore.loop))
    assert {"cancel_pending", "timeout"} <= set(names_of(ThreadedTaskDispatcher.shutdown))


# httpx and httpcore


def test_the_pool_under_httpx_can_be_ours() -> None:
    """``HTTPTransport._pool`` is httpcore's pool; it takes the sockets that it is given."""
    transport = httpx.HTTPTransport()
    assert isinstance(transport._pool, httpcore.ConnectionPool)
    known = names_of(httpcore.ConnectionPool.__init__)
    limits = {"max_connections", "max_keepalive_connections", "keepalive_expiry", "http1", "http2"}
    assert limits | {"ssl_context", "network_backend"} <= set(known)
    asked: list[str] = []

    class Backend(httpcore.NetworkBackend):
        def connect_tcp(self, host: str, *_: Any, **__: Any) -> httpcore.NetworkStream:
            asked.append(host)
            raise httpcore.ConnectError("no")

    transport._pool = httpcore.ConnectionPool(network_backend=Backend())
    with httpx.Client(transport=transport) as client, pytest.raises(httpx.ConnectError):
        client.get("http://photos.example")
    assert asked == ["photos.example"]


def test_a_stream_has_the_methods_that_ours_wraps() -> None:
    """A method more would go by our deadlines."""
    methods = {name for name, _ in inspect.getmembers(httpcore.NetworkStream, inspect.isfunction)}
    assert {name for name in methods if not name.startswith("_")} == {
        "read", "write", "close", "start_tls", "get_extra_info",
    }  # fmt: skip
    assert names_of(httpcore.NetworkStream.start_tls) == ["self", "ssl_context", "server_hostname", "timeout"]
    assert names_of(httpcore.SyncBackend.connect_tcp) == [
        "self", "host", "port", "timeout", "local_address", "socket_options",
    ]  # fmt: skip
    assert callable(httpx.create_ssl_context)


# psycopg


def test_every_wait_of_a_connection_goes_through_one_method() -> None:
    """``Connection.wait``: with a generator, an interval and a time-out."""
    assert names_of(psycopg.Connection.wait)[:4] == ["self", "gen", "interval", "timeout"]
    for each in (psycopg.Cursor.execute, psycopg.Connection.commit, psycopg.Connection.rollback):
        assert ".wait(" in inspect.getsource(each)
    assert isinstance(pq.TransactionStatus.ACTIVE, int)


def test_whether_each_statement_commits_is_a_flag() -> None:
    """``Connection._autocommit``, which its setter sets where there is no transaction, and does nothing else."""
    setter: Any = psycopg.Connection._set_autocommit_gen
    assert "self._autocommit = bool(value)" in inspect.getsource(setter).splitlines()[-1]
    assert len(inspect.getsource(setter).splitlines()) == 3


def test_a_connection_tells_how_it_was_made() -> None:
    """The server's address, what was asked of libpq, and whether it is TLS."""
    for owner, name in ((psycopg.ConnectionInfo, "hostaddr"), (psycopg.ConnectionInfo, "get_parameters")):
        assert hasattr(owner, name)
    assert hasattr(pq.PGconn, "ssl_in_use")


# pydantic


def test_an_error_of_ours_is_told_as_it_was_written() -> None:
    """``PydanticCustomError`` of pydantic_core, with ``type``, ``loc`` and ``msg`` in what pydantic makes of it."""

    def refuse(_: object) -> Mapping[str, str]:
        raise PydanticCustomError("ours", "must be ours")

    with pytest.raises(pydantic.ValidationError) as refused:
        pydantic.create_model("M", a=(int, ...), __validators__={"x": pydantic.field_validator("a")(refuse)})(a=1)
    (error,) = refused.value.errors(include_url=False, include_input=False)
    assert (error["type"], error["loc"], error["msg"]) == ("ours", ("a",), "must be ours")
