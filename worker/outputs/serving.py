"""What the file server answers: a file to whoever has its link, and to everybody else that there is nothing here.

Read-only: it looks rows up and reads bytes. A link that is unknown, changed, expired or of another key, and one whose
file is gone, are told apart in no answer.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.wrappers import Response

from worker.config.access import LinkSettings
from worker.database import files
from worker.database.engine import DatabaseError, Engine, describe, transaction
from worker.errors import ConfigurationError, StoreUnavailable
from worker.log import Log
from worker.outputs.stores import Stores
from worker.rules.signing import Signer

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

LONGEST_LOGGED = 240
"""Characters of a path in the log: what a link of ours has."""

AGAIN_SECONDS = "10"
"""After which who found us without database or store is asked to come back."""

_ONE_RANGE = re.compile(r"bytes=(?:[0-9]{1,15}-[0-9]{0,15}|-([0-9]{1,15}))")

_UNREADABLE = (StoreUnavailable, ConfigurationError, DatabaseError)

log = Log(__name__)


class Files:
    """The file server as a WSGI application."""

    def __init__(self, settings: LinkSettings, engine: Engine, stores: Stores) -> None:
        self._signer = Signer(settings.keys)
        self._prefix = urlsplit(settings.public_url or "").path.rstrip("/")
        self._engine = engine
        self._stores = stores

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, and log what became of it: without its query, which is the key to the file."""
        begun = time.monotonic()
        response = self._answer(environ)
        said = {"method": environ["REQUEST_METHOD"][:20], "path": environ["PATH_INFO"][:LONGEST_LOGGED]}

        def tell() -> None:
            seconds = round(time.monotonic() - begun, 3)
            log.info("file_asked", **said, http_status=response.status_code, seconds=seconds)

        response.call_on_close(tell)
        return response(environ, start_response)

    def _answer(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return _plain(405, {"Allow": "GET, HEAD"})
        path = environ["PATH_INFO"].removeprefix(self._prefix)
        target = self._signer.verified(path, environ.get("QUERY_STRING", ""), time.time())
        if target is None:
            return _plain(404)
        try:
            with transaction(self._engine) as connection:
                file = files.of_id(connection, target.output_id)
            if file is None or (file["sha256"], file["name"]) != (target.sha256, target.name):
                return _plain(404)
            return self._given(file, environ)
        except _UNREADABLE as error:
            log.warning("file_unreadable", output_id=target.output_id, reason=_told(error), next="see `sam3d doctor`")
            return _plain(503, {"Retry-After": AGAIN_SECONDS})

    def _given(self, file: Mapping[str, Any], environ: Environ) -> Response:
        """Return a file, or the part of it that was asked for; its first bytes are read before it is promised."""
        response = Response(status=200, headers=_headers(file))
        response.set_etag(file["sha256"])
        try:
            response.make_conditional(
                _with_one_range(environ, file["bytes"]), accept_ranges=True, complete_length=file["bytes"]
            )
        except RequestedRangeNotSatisfiable:
            return _plain(416, {"Content-Range": f"bytes */{file['bytes']}"})
        if response.status_code not in {200, 206}:
            return response if response.status_code == 304 else _plain(response.status_code)
        start = response.content_range.start or 0
        chunks = self._stores.read(file, start)
        first = next(chunks, b"")
        if not first and file["bytes"]:
            log.warning("file_missing", output_id=file["id"], next="its bytes are gone from the store: restore them")
            return _plain(404)
        response.response = _exactly(first, chunks, response.content_length or 0, file["id"])
        return response


def _headers(file: Mapping[str, Any]) -> Mapping[str, str]:
    return {
        "Content-Type": file["media_type"],
        "Content-Length": str(file["bytes"]),
        "Content-Disposition": f'attachment; filename="{file["name"]}"',
        "Cache-Control": "private",
        "X-Content-Type-Options": "nosniff",
    }


def _plain(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer without a file, the same to everybody."""
    more = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}
    response = Response(status=status, headers=more, mimetype="text/plain")
    response.set_data(f"{response.status}\n")
    return response


def _with_one_range(environ: Environ, size: int) -> Environ:
    """Return a request whose range, if it has one, is one of bytes; any other is no reason to refuse the file."""
    one = _ONE_RANGE.fullmatch(environ.get("HTTP_RANGE", ""))
    is_of_this = not environ.get("HTTP_IF_RANGE", "").startswith("W/")  # A weak tag is of no certain bytes.
    if one is None or not is_of_this or "HTTP_IF_NONE_MATCH" in environ:  # Which is asked before any range.
        return {name: value for name, value in environ.items() if name != "HTTP_RANGE"}
    # The last million bytes of a smaller file are all of it.
    return {**environ, "HTTP_RANGE": f"bytes=-{min(int(one[1]), size)}"} if one[1] else environ


def _exactly(first: bytes, chunks: Iterator[bytes], left: int, output_id: int) -> Iterator[bytes]:
    """Give as many bytes as were promised; where there are fewer, the connection breaks, as no end is made up."""
    reason = "the file has ended"
    try:
        while first:
            yield first[:left]
            left -= len(first)
            if left <= 0:
                return
            first = next(chunks, b"")
    except _UNREADABLE as error:
        reason = _told(error)
    if left > 0:
        log.warning("file_cut", output_id=output_id, reason=reason, next="whoever reads it goes on where it broke")


def _told(error: Exception) -> str:
    return describe(error) if isinstance(error, DatabaseError) else str(error)
