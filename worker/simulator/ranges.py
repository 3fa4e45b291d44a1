"""A file or a part of it: one range of bytes, if the file is still the same (RFC 9110, 14)."""

import zlib

from aiohttp import web


def answer(request: web.Request, body: bytes, media_type: str, *, has_ranges: bool) -> web.Response:
    """Return the file, or the part that was asked for."""
    if not has_ranges:
        return web.Response(body=body, content_type=media_type)
    tag = f'"{zlib.crc32(body):08x}-{len(body):x}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag}
    if "Range" not in request.headers or request.headers.get("If-Range", tag) != tag:
        return web.Response(body=body, content_type=media_type, headers=headers)
    start, end, _ = request.http_range.indices(len(body))
    if start >= end:
        return web.Response(status=416, headers=headers | {"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
    return web.Response(status=206, body=body[start:end], content_type=media_type, headers=headers)
