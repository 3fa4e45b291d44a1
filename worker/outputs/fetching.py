"""Files that are got by their links, as an event tells them: no database is needed, each is complete or not there.

What an event says is a stranger's: nothing is written before it is checked, and no more than was announced is read.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from worker.errors import Sam3dError
from worker.network import create_client, deadline
from worker.outputs.saving import write_file

LONGEST_FETCH = timedelta(hours=1)
"""Of a file, with all its tries."""

TRIES = 5
FIRST_PAUSE_SECONDS = 0.5
"""Before a file is gone on with; doubled each time."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Linked:
    """A file as an event tells it."""

    name: str
    size: int
    sha256: str
    url: str = field(repr=False)


class _CutError(Exception):
    """The answer broke off, or did not come; another try goes on."""


def read_links(outputs: object, now: datetime | None = None) -> Sequence[Linked] | None:
    """Read an event's outputs; None unless each that was stored has a link that is good now."""
    if not isinstance(outputs, list):
        return None
    try:
        stored = [each for each in outputs if not each.get("missing")]
        files = [_linked(each, now or datetime.now(UTC)) for each in stored]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return [each for each in files if each] if files and all(files) else None


def _linked(told: Mapping[str, Any], now: datetime) -> Linked | None:
    name, sha256, size, url = (told[each] for each in ("name", "sha256", "bytes", "url"))
    if not (isinstance(size, int) and size >= 0 and _NAME.fullmatch(name) and _SHA256.fullmatch(sha256)):
        return None
    is_good = url.startswith(("https://", "http://")) and datetime.fromisoformat(told["expires_at"]) > now
    return Linked(name, size, sha256, url) if is_good else None


def fetch_files(files: Sequence[Linked], folder: Path, pause: Callable[[float], object] = time.sleep) -> Sequence[Path]:
    """Write files into a folder, and return their paths.

    Raises:
        Sam3dError: one does not come, or is not what was announced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with create_client(connections=1) as client:
        for file in files:
            with deadline(LONGEST_FETCH):
                chunks = _chunks(client, file, pause)
                paths.append(write_file(chunks, {"name": file.name, "sha256": file.sha256}, folder))
    return paths


def _chunks(client: httpx.Client, file: Linked, pause: Callable[[float], object]) -> Iterator[bytes]:
    """Give the bytes of a file; where the connection breaks, it goes on from there."""
    got, tag, reason = 0, "", ""
    for number in range(TRIES):
        if number:
            pause(FIRST_PAUSE_SECONDS * 2 ** (number - 1))
        try:
            with client.stream("GET", file.url, headers=_going_on(got, tag)) as response:
                _require(response, file, got, tag)
                tag = response.headers.get("etag", "")
                for chunk in response.iter_raw():
                    got += len(chunk)
                    if got > file.size:
                        raise Sam3dError(f"{file.name} is not what was announced: it is larger.")
                    yield chunk
            if got == file.size:
                return
            reason = "it ended early"
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, _CutError) as error:
            reason = str(error) if isinstance(error, _CutError) else type(error).__name__
    raise Sam3dError(f"{file.name} was not downloaded, in {TRIES} tries: {reason}.")


def _going_on(got: int, tag: str) -> Mapping[str, str]:
    """Ask for the rest of a file, of which there is something already; as long as it is the same file."""
    return {"range": f"bytes={got}-", "if-range": tag} if got else {}


def _require(response: httpx.Response, file: Linked, got: int, tag: str) -> None:
    """Check that what comes is the file, or the rest of it.

    Raises:
        Sam3dError: it never will be.
        _CutError: another time it may be.
    """
    status = response.status_code
    if status in _AGAIN:
        raise _CutError(f"the server answers {status}")
    if status not in {200, 206}:
        raise Sam3dError(f"{file.name} was not downloaded: its link is refused ({status}); `sam3d link` makes another.")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Sam3dError(f"{file.name} was not downloaded: it came encoded, which nobody asked for.")
    if not got:
        return
    goes_on = response.headers.get("content-range", "").startswith(f"bytes {got}-")
    if status != 206 or not goes_on or not tag or response.headers.get("etag", "") != tag:
        raise Sam3dError(f"{file.name} broke off, and its server gives no rest of it: download it again.")
