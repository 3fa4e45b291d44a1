"""What comes over the wire, before a library unpacks it: a message that would break the reading is marked instead.

Only our own connections read this way. Whoever gets a marked message quarantines it unread.
"""

from collections.abc import Callable, Mapping
from typing import Any

from amqp import spec
from amqp.method_framing import frame_handler
from amqp.serialization import decode_properties_basic, dumps, loads

from worker.rules.untrusted import MAX_MESSAGE_BYTES

UNREADABLE = "x-sam3d-unreadable"
"""The header that says why a message was not read."""

PROPERTIES = "x-sam3d-properties"
"""The header that has the properties of such a message, as they came."""

READABLE_ENCODINGS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii", "binary"})
"""Other codecs of Python unpack a body, or take hours over one."""

KEPT_OF_LARGE = 64 * 2**10
"""Bytes of a larger body that are kept, to tell whose it is."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_BEFORE_SIZE, _BEFORE_PROPERTIES = 4, 12
_ONLY_HEADERS = b"\x20\0"
_DELIVER = b"".join(number.to_bytes(2) for number in spec.Basic.Deliver)

Frame = tuple[int, int, bytes]


def tolerant_frames(connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
    """Make py-amqp's reader of frames, which gets no message that it or kombu would stumble over."""
    handle: Callable[[Frame], bool] = frame_handler(connection, callback)
    bodies = Bodies()

    def on_frame(frame: Frame) -> bool:
        kind, channel, payload = frame
        if kind == _HEADER:
            return handle((kind, channel, bodies.begin(channel, payload)))
        if kind == _BODY:
            kept = bodies.cut(channel, payload)
            return handle((kind, channel, kept)) if kept else False
        if kind == _METHOD and bytes(payload[:4]) == _DELIVER:
            return handle((kind, channel, _readable_delivery(payload)))
        return handle(frame)

    return on_frame


def leave_encoded(channel: Any) -> None:
    """Have py-amqp make no text of bodies, which may take four times as much memory: who checks one reads its bytes."""
    channel.auto_decode = False


class Bodies:
    """Cuts the bodies that are too large: only their beginning is ever held."""

    def __init__(self) -> None:
        self._left: dict[int, int] = {}

    def begin(self, channel: int, header: bytes) -> bytes:
        """Return the content header of a body that begins, in which py-amqp reads how much of it to expect."""
        readable = readable_header(header)
        self._left[channel] = _size(readable)
        return readable

    def cut(self, channel: int, part: bytes) -> bytes:
        """Return what is kept of a part of the body."""
        left = self._left.get(channel, 0)
        self._left[channel] = max(0, left - len(part))
        return part[:left]


def _size(header: bytes) -> int:
    return int.from_bytes(header[_BEFORE_SIZE:_BEFORE_PROPERTIES])


def readable_header(header: bytes) -> bytes:
    """Return a content header as it is, or with one that says why it can't be read in its place."""
    size = _size(header)
    is_large = size > MAX_MESSAGE_BYTES
    why = _LARGE.format(size=size) if is_large else _why_unreadable(header)
    if why is None:
        return header
    marks = {UNREADABLE: why, PROPERTIES: bytes(header[_BEFORE_PROPERTIES:])}
    table: bytes = dumps("F", (marks,))
    kept = KEPT_OF_LARGE if is_large else size
    return bytes(header[:_BEFORE_SIZE]) + kept.to_bytes(8) + _ONLY_HEADERS + table


_LARGE = f"the body is larger than {MAX_MESSAGE_BYTES // 2**20} MiB ({{size}} bytes); only its beginning was kept"


def _why_unreadable(header: bytes) -> str | None:
    try:
        properties, _ = decode_properties_basic(header, _BEFORE_PROPERTIES)
    except Exception as error:  # Whatever a sender wrote there, the next message is read.
        return f"its properties can't be decoded ({type(error).__name__})"
    if str(properties.get("content_encoding", "")).lower() not in READABLE_ENCODINGS:
        return "its content encoding is not UTF-8"
    return _why_unwanted(properties.get("application_headers") or {})


def _why_unwanted(headers: Mapping[Any, Any]) -> str | None:
    if not all(isinstance(name, str) for name in headers):
        return "the name of a header is not UTF-8"
    if UNREADABLE in headers:
        return "it has a header that nobody else may set"
    if headers.get("compression"):
        return "its body is compressed"
    return None


def _readable_delivery(payload: bytes) -> bytes:
    """Return a delivery without its exchange and routing key if these are not UTF-8."""
    try:
        loads("sLbss", payload, 4)
    except ValueError:
        before_names = 4 + 1 + payload[4] + 8 + 1
        return bytes(payload[:before_names]) + b"\0\0"
    return payload
