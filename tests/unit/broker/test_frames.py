"""Whatever a sender put into a message's properties, the connection goes on and the message is marked."""

from collections.abc import Callable
from struct import pack
from typing import Any

import pytest
from amqp.basic_message import Message
from amqp.serialization import decode_properties_basic, dumps
from hypothesis import given
from hypothesis import strategies as st

from worker.broker.frames import PROPERTIES, UNREADABLE, readable_header, tolerant_frames

MARKER = "m4rk3r"
BEFORE = pack(">HxxQ", 60, 0)


def header_of(**properties: Any) -> bytes:
    """Write the content header of a message."""
    message: Any = Message(**properties)
    return BEFORE + bytes(message._serialize_properties())


def read(payload: bytes) -> dict[str, Any]:
    """Read a header as py-amqp does."""
    properties: dict[str, Any] = decode_properties_basic(readable_header(payload), 12)[0]
    return properties


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"content_type": "application/json", "content_encoding": "UTF-8", "message_id": "é"},
        {"application_headers": {"id": "1", "task": "sam3d.reconstruct", "timelimit": [None, None], "compression": ""}},
    ],
)
def test_a_good_header_is_untouched(properties: dict[str, Any]) -> None:
    """Not a byte of it is changed."""
    assert readable_header(header_of(**properties)) == header_of(**properties)


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"message_id": b"\xff"}, "can't be decoded (UnicodeDecodeError)"),
        ({"content_type": b"\xff"}, "can't be decoded (UnicodeDecodeError)"),
        ({"application_headers": {b"\xff": 1}}, "name of a header"),
        ({"application_headers": {"compression": "zlib"}}, "compressed"),
        ({"application_headers": {UNREADABLE: MARKER}}, "nobody else may set"),
        ({"content_encoding": "punycode"}, "content encoding"),
        ({"content_encoding": "gzip"}, "content encoding"),
    ],
)
def test_a_bad_one_is_marked(properties: dict[str, Any], why: str) -> None:
    """The mark says what is wrong and not what it is; the bytes are kept beside it."""
    headers = read(header_of(**properties))["application_headers"]
    assert why in headers[UNREADABLE]
    assert MARKER not in headers[UNREADABLE]
    kept = headers[PROPERTIES]
    assert (kept if isinstance(kept, bytes) else kept.encode()) == header_of(**properties)[12:]


@pytest.mark.parametrize("table", [b"\x01ZZ", b"\x01aZ", b"\x01aF\xff\xff\xff\xff", b"\x01aT" + b"\xff" * 8])
def test_a_table_that_is_none_is_marked(table: bytes) -> None:
    """An unknown type, a length beyond the end, a time after the end of time."""
    payload = BEFORE + pack(">HI", 0x2000, len(table)) + table
    assert UNREADABLE in read(payload)["application_headers"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(properties: bytes) -> None:
    """There is always something that py-amqp can read."""
    assert isinstance(read(BEFORE + properties), dict)


@pytest.mark.parametrize(("key", "kept"), [(b"reconstruct", "reconstruct"), (b"\xff", "")])
def test_a_routing_key_that_is_no_text_is_left_out(key: bytes, kept: str) -> None:
    """With the header CC a message gets to a queue whatever its routing key is."""
    seen: list[Any] = []
    deliver = pack(">HH", 60, 60) + dumps("sLbss", ("tag", 7, True, "sam3d.inbox", key))
    reader: Callable[..., bool] = tolerant_frames(Connection(), lambda *got: seen.append(got))
    reader((1, 1, deliver))
    reader((2, 1, header_of()))
    payload = seen[0][2]
    assert payload.endswith(dumps("s", (kept,)))
    assert payload.startswith(deliver[: 4 + 4 + 8 + 1])


class Connection:
    """What py-amqp's reader needs of a connection."""

    bytes_recv = 0
