"""Where pictures are read and models are made: on at most two threads, and not twice for the same inputs."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from . import parameters
from .artifacts import Files, make_files
from .images import UnreadableImageError, decode_text, open_pixels
from .jobs import Run

THREADS = 2
KEPT_MODELS = 16
KEPT_CHECKS = 1024
MAX_DOWNLOAD = 20 * 2**20
_LOCAL = {"127.0.0.1", "localhost"}

Made = TypeVar("Made")


class Studio:
    """Two threads and two small caches. Used from one event loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stand-in-model")
        self._files: OrderedDict[str, asyncio.Future[Files]] = OrderedDict()
        self._good: OrderedDict[str, None] = OrderedDict()

    def close(self) -> None:
        """Give up what is waiting and let go of the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def apart(self, work: Callable[..., Made], *arguments: Any) -> Made:
        """Do work on a thread, so that other requests are answered meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def admit(self, inputs: dict[str, Any]) -> dict[str, bytes]:
        """See that the pictures can be read; return those that were given as URLs.

        Raises:
            BadParameterError: one can't be read or downloaded.
        """
        fetched: dict[str, bytes] = {}
        for name in ("image", "mask"):
            text = inputs.get(name)
            if text and _is_url(text):
                fetched[text] = await _download(name, text)
            if text:
                await self._check(name, text, fetched.get(text))
        return fetched

    async def _check(self, name: str, text: str, content: bytes | None) -> None:
        """See that one picture can be read, unless the same one was before."""
        digest = hashlib.sha256(text.encode() if content is None else content).hexdigest()
        if digest in self._good:
            return
        try:
            await self.apart(lambda: open_pixels(decode_text(text) if content is None else content))
        except UnreadableImageError as error:
            raise parameters.BadParameterError(f"Invalid {name}: {error}") from error
        self._good[digest] = None
        if len(self._good) > KEPT_CHECKS:
            self._good.popitem(last=False)

    async def files(self, run: Run) -> Files:
        """Return what a run produced; it is made when first asked for."""
        key = _recipe(run)
        if key not in self._files:
            self._files[key] = asyncio.ensure_future(self.apart(_produce, run))
        self._files.move_to_end(key)
        if len(self._files) > KEPT_MODELS:
            self._files.popitem(last=False)
        return await asyncio.shield(self._files[key])


def _recipe(run: Run) -> str:
    """Return a digest of what the stand-in model looks at; the prompt is not among it."""
    digest = hashlib.sha256()
    for name in ("image", "mask", "bounding_box", "point_coords", "seed"):
        value = run.inputs.get(name)
        content = run.fetched.get(value) if isinstance(value, str) else None
        digest.update(f"|{name}:{value}|".encode() if content is None else content)
    return digest.hexdigest()


def _produce(run: Run) -> Files:
    """Run the stand-in model for a run."""
    image, mask = _content(run, "image"), _content(run, "mask")
    assert image is not None, "an accepted run has an image"  # noqa: S101 - the parameters were checked
    return make_files(image, parameters.hint(run.inputs, mask), parameters.seed(run.inputs))


def _content(run: Run, name: str) -> bytes | None:
    """Return the bytes of one of the run's pictures."""
    text = run.inputs.get(name)
    if not text:
        return None
    return run.fetched[text] if text in run.fetched else decode_text(text)


def _is_url(text: str) -> bool:
    """Return whether a picture is given by its address."""
    return text[:8].lower().startswith(("http://", "https://"))


async def _download(name: str, url: str) -> bytes:
    """Fetch a picture from this machine; the simulator asks no other.

    Raises:
        BadParameterError: it is elsewhere, or not there.
    """
    refusal = parameters.BadParameterError(f"Could not download {name} from the given URL")
    try:
        if urlsplit(url).hostname not in _LOCAL:
            raise refusal
        timeout = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            content = await answer.content.read(MAX_DOWNLOAD + 1)
            while len(content) <= MAX_DOWNLOAD and (more := await answer.content.read(MAX_DOWNLOAD)):
                content += more
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise refusal from error
    if answer.status != 200 or not 0 < len(content) <= MAX_DOWNLOAD:
        raise refusal
    return content
