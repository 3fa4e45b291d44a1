"""Where output bytes go: from the vendor's file host, through a capped temporary file, to whoever stores them."""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import BinaryIO

import httpx

from worker.config.environment import Settings
from worker.errors import ConfigurationError, OutputBroken, OutputUnusable, RemoteUnavailable
from worker.network import AllowedHosts, create_client, deadline
from worker.outputs.formats import identify
from worker.places import LONGEST_ADDRESS
from worker.rules.addresses import promised
from worker.rules.outcome import StoredFile

MAX_REDIRECTS = 3


class Downloads:
    """Reads output files over a client that reaches only the hosts the settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._allowed = AllowedHosts(settings.outputs.hosts)
        self._client = create_client(connections=settings.process.concurrency, allowed=self._allowed)

    def fetch(self, address: str) -> StoredFile:
        """Download one output and check that it is a whole file.

        The caller closes ``content``: a file without a name, gone with this process whatever happens to it.

        Raises:
            OutputUnusable: the address is refused, the file is larger than the cap, or nobody should open it.
            OutputBroken: what arrived is no whole file; another try may be better.
            RemoteUnavailable: it did not arrive, or there is no room for it here; it is kept there for days.
        """
        content = _nameless()
        try:
            with deadline(self._settings.run.download_deadline):
                size, sha256 = self._download(address, content, MAX_REDIRECTS)
            found = identify(content, size, promised(address))
        except BaseException:
            with suppress(OSError):  # A full disk refuses what is still to be written.
                content.close()
            raise
        return StoredFile(found.kind.name, found.kind.media_type, size, sha256, content, found.geometry)

    def _download(self, address: str, content: BinaryIO, redirects: int) -> tuple[int, str]:
        if refusal := self._allowed.refusal(address):
            raise OutputUnusable(f"The output was not downloaded: {refusal}.")
        try:
            with self._client.stream("GET", address) as response:
                if not response.has_redirect_location:
                    return self._copy(response, content)
                following = _following(response)
        except (httpx.InvalidURL, UnicodeError):
            raise OutputUnusable("The output was not downloaded: its address is not a URL.") from None
        except (httpx.HTTPError, OSError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            raise RemoteUnavailable(f"The download broke off ({reason}).") from None
        if not redirects:
            raise OutputUnusable("The output was not downloaded: too many redirects.")
        return self._download(following, content, redirects - 1)

    def _copy(self, response: httpx.Response, content: BinaryIO) -> tuple[int, str]:
        if response.status_code != httpx.codes.OK:
            raise RemoteUnavailable(f"The file host answers {response.status_code}.", response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise OutputBroken("The file host sent an encoded body that nobody asked for.")
        digest, size = hashlib.sha256(), 0
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > self._settings.storage.max_output_bytes:
                raise OutputUnusable(
                    f"The output is larger than SAM3D_MAX_OUTPUT_BYTES ({self._settings.storage.max_output_bytes})."
                )
            digest.update(chunk)
            content.write(chunk)
        content.flush()
        return size, digest.hexdigest()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


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
    """Give files that would share a name a number: model.glb, model-2.glb; ``taken`` are names that are given."""
    used = set(taken)
    named = []
    for file in files:
        stem, _, extension = file.name.rpartition(".")
        numbered = (f"{stem}-{number}.{extension}" for number in count(2))
        name = next(each for each in (file.name, *islice(numbered, len(used) + 1)) if each not in used)
        used.add(name)
        named.append(replace(file, name=name))
    return named
