"""Where output bytes go: from the vendor's file host, through a capped temporary file, to whoever stores them."""

import hashlib
import io
import re
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import BinaryIO

import httpx

from worker.config.environment import Settings
from worker.errors import ConfigurationError, OutputBroken, OutputUnusable, RemoteUnavailable
from worker.gate.formats import OTHER, FileKind, Found, identify
from worker.network import create_client, deadline
from worker.places import LONGEST_ADDRESS, AllowedHosts
from worker.rules.addresses import FILES, promised
from worker.rules.output_files import FetchedFile, StoredFile

MAX_REDIRECTS = 3

_TAG = re.compile(r'"[!#-~]{1,200}"')
_LENGTH = re.compile(r"[0-9]{1,15}")
_PART = re.compile(r"bytes ([0-9]{1,15})-[0-9]{1,15}/([0-9]{1,15})")

MOST_CUTS = 20
"""Connections of a download, each of which brought some of it."""


class Downloads:
    """Reads output files over a client that reaches only the hosts the settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowed = AllowedHosts(settings.outputs.hosts)
        self._client = create_client(connections=settings.process.concurrency, allowed=self._allowed)

    def fetch(self, address: str) -> FetchedFile:
        """Download one output and look what it is: sound, or with a flaw, for which another try may be better.

        The caller closes it: a file without a name, gone with this process whatever happens to it.

        Raises:
            OutputUnusable: the address is refused, the file is larger than the cap, or nobody should open it.
            OutputBroken: it came encoded, which nobody asked for.
            RemoteUnavailable: it did not arrive, or there is no room for it here; it is kept there for days.
        """
        content = _nameless()
        try:
            with deadline(self._settings.run.download_deadline):
                copy = _Copy(content)
                self._download(address, copy)
            return copy.judged(promised(address))
        except BaseException:
            with suppress(OSError):  # A full disk refuses what is still to be written.
                content.close()
            raise

    def _download(self, address: str, copy: "_Copy") -> None:
        """Read a file; where the connection breaks and the host knows ranges, go on from there."""
        for _ in range(MOST_CUTS):
            before = copy.size
            try:
                return self._read(address, copy, MAX_REDIRECTS)
            except RemoteUnavailable:
                if copy.tag is None or copy.size <= before:
                    raise
        raise RemoteUnavailable(f"The download broke off {MOST_CUTS} times.")

    def _read(self, address: str, copy: "_Copy", redirects: int) -> None:
        if refusal := self._allowed.refusal(address):
            raise OutputUnusable(f"The output was not downloaded: {refusal}.")
        try:
            with self._client.stream("GET", address, headers=copy.headers) as response:
                if not response.has_redirect_location:
                    return self._copy(response, copy)
                following = _following(response)
        except (httpx.InvalidURL, UnicodeError):
            raise OutputUnusable("The output was not downloaded: its address is not a URL.") from None
        except httpx.HTTPError as error:
            raise RemoteUnavailable(f"The download broke off ({type(error).__name__}).") from None
        except OSError as error:  # Of our own disk: what is left of the file is no beginning.
            copy.tag = None
            raise RemoteUnavailable(f"The download broke off ({error.strerror or type(error).__name__}).") from None
        if not redirects:
            raise OutputUnusable("The output was not downloaded: too many redirects.")
        return self._read(following, copy, redirects - 1)

    def _copy(self, response: httpx.Response, copy: "_Copy") -> None:
        if response.status_code not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            raise RemoteUnavailable(f"The file host answers {response.status_code}.", response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise OutputBroken("The file host sent an encoded body that nobody asked for.")
        copy.begin(response)
        for chunk in response.iter_raw():
            copy.add(chunk)
            if copy.size > self._settings.storage.max_output_bytes:
                raise OutputUnusable(
                    f"The output is larger than SAM3D_MAX_OUTPUT_BYTES ({self._settings.storage.max_output_bytes})."
                )
        copy.require_all()
        copy.content.flush()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class _Copy:
    """What has arrived of a file, and its host's mark of it, under which the rest can be asked for."""

    def __init__(self, content: BinaryIO) -> None:
        self.content = content
        self.size, self.digest = 0, hashlib.sha256()
        self.tag: str | None = None
        self.total: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Ask for what is missing, if the file is still the same; else for all of it."""
        return {"range": f"bytes={self.size}-", "if-range": self.tag} if self.tag and self.size else {}

    def begin(self, response: httpx.Response) -> None:
        """Go on where an answer goes on, or begin anew.

        Raises:
            RemoteUnavailable: it is a part that was not asked for.
        """
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            part = _PART.fullmatch(response.headers.get("content-range", ""))
            if not self.size or not part or (int(part[1]), int(part[2])) != (self.size, self.total):
                raise RemoteUnavailable("The file host answers 206, with a part that nobody asked for.")
            return
        if self.size:
            self.content.seek(0)
            self.content.truncate()
            self.size, self.digest = 0, hashlib.sha256()
        tag, length = response.headers.get("etag", ""), response.headers.get("content-length", "")
        self.total = int(length) if _LENGTH.fullmatch(length) else None
        has_parts = response.headers.get("accept-ranges") == "bytes" and self.total is not None
        self.tag = tag if has_parts and _TAG.fullmatch(tag) else None

    def add(self, chunk: bytes) -> None:
        """Take in what has arrived."""
        self.size += len(chunk)
        self.digest.update(chunk)
        self.content.write(chunk)

    def require_all(self) -> None:
        """Check that nothing is left; a host may answer a range with a smaller one.

        Raises:
            RemoteUnavailable: there is more of the file.
        """
        if self.total is not None and self.size != self.total:
            raise RemoteUnavailable(f"The download broke off (after {self.size} of {self.total} bytes).")

    def judged(self, end: str) -> FetchedFile:
        """Tell what it is, or, of one that is not sound, what it was to be and why it is not.

        Raises:
            OutputUnusable: it is whole, and nobody should open it.
        """
        try:
            found, flaw = identify(self.content, self.size, end), ""
        except OutputBroken as error:
            found, flaw = Found(FileKind(f"broken.{end if end in FILES else 'bin'}", OTHER.media_type)), str(error)
        kind, sha256 = found.kind, self.digest.hexdigest()
        return FetchedFile(kind.name, kind.media_type, self.size, sha256, self.content, found.geometry, flaw)


def take_in(body: bytes, end: str) -> FetchedFile:
    """Look what came in an answer is, as of a file that is downloaded; raises as ``fetch``."""
    copy = _Copy(io.BytesIO())
    copy.add(body)
    return copy.judged(end)


def require_sound(file: FetchedFile) -> FetchedFile:
    """Return a file that has no flaw.

    Raises:
        OutputBroken: it has; it is closed.
    """
    if file.flaw:
        file.close()
        raise OutputBroken(file.flaw)
    return file


def require_room() -> None:
    """Find out whether outputs have a place here, before anything is paid for them.

    Raises:
        ConfigurationError: no temporary file can be made.
    """
    try:
        _nameless().close()
    except RemoteUnavailable as error:
        raise ConfigurationError(
            f"{error} Outputs go through one: mount a folder at /tmp, or name one in TMPDIR."
        ) from None


def _nameless() -> BinaryIO:
    """Open a temporary file.

    Raises:
        RemoteUnavailable: none can be made now.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise RemoteUnavailable(f"No temporary file can be made ({error.strerror}).") from None


def _following(response: httpx.Response) -> str:
    """Return where a redirect leads."""
    location = response.headers["location"]
    if len(location) > LONGEST_ADDRESS:
        raise httpx.InvalidURL("it is too long")
    return str(response.url.join(location))


def with_unique_names(files: Sequence[StoredFile], taken: Iterable[str] = ()) -> Sequence[StoredFile]:
    """Give files that would share a name a number; ``taken`` are names that are given."""
    names = unique_names([file.name for file in files], taken)
    return [replace(file, name=name) for file, name in zip(files, names, strict=True)]


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> Sequence[str]:
    """Give names that would be the same a number: model.glb, model-2.glb; ``taken`` are given already."""
    used = set(taken)
    unique = []
    for each in names:
        stem, _, extension = each.rpartition(".")
        numbered = (f"{stem}-{number}.{extension}" for number in count(2))
        name = next(one for one in (each, *islice(numbered, len(used) + 1)) if one not in used)
        used.add(name)
        unique.append(name)
    return unique
