"""Carry out a fault on the wire: wrong answers, slow ones, endless ones, and none at all."""

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from . import answers
from .artifacts import pack
from .faults import CHANGING, STARTING, FaultRule
from .world import World

Genuine = Callable[[], Awaitable[web.Response]]

_BLOCK = 64 * 1024
_KEPT = ("Content-Type", "Content-Range", "Accept-Ranges", "ETag")
_BAD_NAMES = ("../outside.txt", "/absolute.txt", "a/../../outside.txt", "C:\\drive.txt")
_BAD_MEMBERS = dict.fromkeys(_BAD_NAMES, b"x")


async def misbehave(
    world: World, rule: FaultRule, request: web.Request, call: str, genuine: Genuine
) -> tuple[web.StreamResponse, str]:
    """Answer a call the way a rule says; return the answer and what to count it as."""
    answer = web.Response()
    if rule.kind in CHANGING or (call in STARTING and rule.lets_run_start):
        answer = await genuine()
        if answer.status >= 400 and rule.kind in CHANGING:
            return answer, str(answer.status)
    match rule.kind:
        case "reset" | "drop_answer" | "hang":
            return await _silence(rule, request), rule.kind
        case "slow_bytes" | "slow_headers" | "truncate":
            return await _raw(rule, request, answer, world.clock.http_date()), rule.kind
        case "huge_body" | "endless_body" | "gzip_bomb":
            return await _flood(rule, request), rule.kind
    wrong = _replacement(world, rule) if rule.kind not in CHANGING else _changed(rule, answer)
    wrong.headers.update(rule.headers)
    return wrong, str(wrong.status)


async def _silence(rule: FaultRule, request: web.Request) -> web.StreamResponse:
    """Answer nothing: reset the connection, close it, or keep it open until the client has had enough."""
    transport = request.transport
    if transport is None:
        return web.Response()
    if rule.kind == "hang":
        await _until_gone(request, rule.seconds)
    if rule.kind == "reset":
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()


async def _until_gone(request: web.Request, seconds: float) -> None:
    """Wait for the client to hang up, or for the time to pass."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    while not is_gone(request) and loop.time() < ends_at:  # noqa: ASYNC110 - aiohttp has no event for it
        await asyncio.sleep(0.05)


def is_gone(request: web.Request) -> bool:
    """Return whether the client has hung up."""
    return request.transport is None or request.transport.is_closing()


async def _raw(rule: FaultRule, request: web.Request, answer: web.Response, date: str) -> web.StreamResponse:
    """Write the real answer by hand: in part, or a few bytes at a time."""
    body = _bytes_of(answer)
    head = f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Length: {len(body)}\r\nDate: {date}\r\n"
    head += "".join(f"{name}: {answer.headers[name]}\r\n" for name in _KEPT if name in answer.headers)
    head += "Connection: close\r\n\r\n"
    match rule.kind:
        case "truncate":
            await _write(request, head.encode() + body[: len(body) // 2])
        case "slow_headers":
            await _dribble(request, head.encode(), rule.bytes_per_second)
            await _write(request, body)
        case _:
            await _write(request, head.encode())
            await _dribble(request, body, rule.bytes_per_second)
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _write(request: web.Request, content: bytes) -> None:
    """Write bytes to the connection, past HTTP."""
    if request.transport is not None and not is_gone(request):
        request.transport.write(content)
        await asyncio.sleep(0)


async def _dribble(request: web.Request, content: bytes, speed: float) -> None:
    """Write bytes slowly, while somebody listens."""
    step = max(1, int(speed / 20))
    for start in range(0, len(content), step):
        if is_gone(request):
            return
        await _write(request, content[start : start + step])
        await asyncio.sleep(step / speed)


async def _flood(rule: FaultRule, request: web.Request) -> web.StreamResponse:
    """Send more than anybody wants."""
    answer = web.StreamResponse(headers={"Content-Type": rule.content_type or "application/json"})
    if rule.kind == "huge_body":
        answer.content_length = rule.size
    if rule.kind == "gzip_bomb":
        answer.headers["Content-Encoding"] = "gzip"
    await answer.prepare(request)
    async for block in _bomb(rule.size) if rule.kind == "gzip_bomb" else _padding(rule):
        if is_gone(request):
            break
        await answer.write(block)
        await asyncio.sleep(0)
    return answer


async def _padding(rule: FaultRule) -> AsyncIterator[bytes]:
    """Yield the beginning of a JSON string that goes on for `size` bytes, or for ever."""
    left = rule.size if rule.kind == "huge_body" else None
    block = b'{"padding": "' + b"x" * (_BLOCK - 13)
    while left is None or left > 0:
        yield block if left is None else block[:left]
        left = None if left is None else left - len(block)
        block = b"x" * _BLOCK


async def _bomb(size: int) -> AsyncIterator[bytes]:
    """Yield a gzip stream of `size` spaces: one compressed block, again and again."""
    plain = b" " * 2**20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packer.compress(plain)
    packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)
    count = max(1, size // len(plain))
    checksum = 0
    yield b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    for _ in range(count):
        checksum = zlib.crc32(plain, checksum)
        yield block
    yield b"\x03\x00" + struct.pack("<II", checksum, count * len(plain) % 2**32)


def _replacement(world: World, rule: FaultRule) -> web.Response:
    """Return an answer that has nothing to do with the real one."""
    status = rule.http_status or 200
    if rule.body is not None:
        return _given(rule, status)
    made: dict[str, Callable[[], web.Response]] = {
        "status": lambda: answers.by_status(
            status, gateway_html=world.settings.gateway_html, resets_at=world.resets_at(), message=rule.message
        ),
        "html": lambda: answers.html(status, "Please wait"),
        "redirect": lambda: web.Response(status=rule.http_status or 307, headers={"Location": str(rule.url)}),
        "gone": answers.unknown_request,
        "bad_zip": lambda: web.Response(body=pack(_BAD_MEMBERS), content_type="application/zip"),
        "wrong_json": lambda: web.json_response(["not", "what", "was", "asked"], status=status),
        "empty": lambda: web.Response(status=status, content_type="application/json"),
    }
    return made[rule.kind]()


def _given(rule: FaultRule, status: int) -> web.Response:
    """Return an answer with the rule's own body."""
    text = rule.body if isinstance(rule.body, str) else json.dumps(rule.body)
    kind = "text/html" if rule.kind == "html" else "application/json"
    return web.Response(status=status, text=text, content_type=rule.content_type or kind)


def _changed(rule: FaultRule, answer: web.Response) -> web.Response:
    """Return the real answer with something wrong in it."""
    body = _bytes_of(answer)
    if rule.kind == "wrong_magic":
        return _alike(answer, b"oops" + body[4:])
    if rule.kind == "broken_json":
        return _alike(answer, body[: len(body) // 2])
    content: dict[str, Any] = json.loads(body)
    match rule.kind:
        case "missing_id":
            content = {key: value for key, value in content.items() if key == "status"}
        case "unknown_status":
            content["status"] = rule.message or "MELTING"
        case "no_output":
            content.pop("output", None)
        case "output_url" if "output" in content:
            content["output"] = _pointed(content["output"], rule.url)
    return _alike(answer, json.dumps(content).encode())


def _pointed(output: object, url: str | None) -> object:
    """Return an output of the same shape that points elsewhere."""
    if isinstance(output, list):
        return [url for _ in output]
    return dict.fromkeys(output, url) if isinstance(output, dict) else url


def _alike(answer: web.Response, body: bytes) -> web.Response:
    """Return an answer of the same kind with another body."""
    return web.Response(status=answer.status, body=body, content_type=answer.content_type)


def _bytes_of(answer: web.Response) -> bytes:
    """Return an answer's body."""
    return bytes(answer.body) if isinstance(answer.body, bytes | bytearray) else b""
