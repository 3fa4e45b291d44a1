"""What a run made, for one caller who waits: each file downloaded in a few tries, the model first, under his names."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.errors import OutputBroken, OutputUnusable, RemoteUnavailable, Sam3dError
from worker.gate.formats import GLB, MODELS
from worker.outputs.download import Downloads, require_sound, unique_names
from worker.outputs.saving import write_file
from worker.rules.addresses import promised
from worker.rules.output_files import FetchedFile
from worker.rules.retry import next_attempt

TRIES = 4

_PIECE = 2**16


@dataclass(frozen=True)
class Gathered:
    """Whole files, the model first, and why others are missing."""

    files: Sequence[FetchedFile]
    missing: Sequence[Sam3dError]


def gather(downloads: Downloads, addresses: Sequence[str]) -> Gathered:
    """Download what a run made.

    Raises:
        OutputBroken, OutputUnusable, RemoteUnavailable: no model is among it.
    """
    arrived = [_fetched(downloads, each) for each in sorted(addresses, key=lambda each: promised(each) != "glb")]
    files = [each for each in arrived if isinstance(each, FetchedFile)]
    missing = [each for each in arrived if isinstance(each, Sam3dError)]
    if not any(is_model(each.name) for each in files):
        for each in files:
            each.close()
        raise next(iter(missing), OutputUnusable("The run completed, but no model is among its files."))
    return Gathered(sorted(files, key=lambda each: (each.name != GLB.name, not is_model(each.name))), missing)


def _fetched(downloads: Downloads, address: str) -> FetchedFile | Sam3dError:
    """Download a file, or return why there is none."""
    for failed in range(TRIES):
        try:
            return require_sound(downloads.fetch(address))
        except OutputUnusable as error:
            return error
        except (OutputBroken, RemoteUnavailable) as error:
            if failed + 1 == TRIES:
                return error
            time.sleep(next_attempt(failed, random.random()).total_seconds())
    raise AssertionError("the last try returns")


def is_model(name: str) -> bool:
    """Tell a model from what comes beside it, by the name that its bytes gave it."""
    return name.rpartition(".")[2] in MODELS


def paths_of(names: Sequence[str], out: Path) -> Sequence[Path]:
    """Return where files of these names go: the first, the model, to ``out``, the others beside it.

    A model that is no GLB keeps its own ending.
    For ``cup.glb`` a GLB and its artifacts go to ``cup.glb`` and ``cup-artifacts.zip``.
    """
    model, *others = unique_names(names)
    first = out if model == GLB.name else out.with_suffix(Path(model).suffix)
    return [first, *(out.with_name(f"{out.stem}-{each}") for each in others)]


def save(file: FetchedFile, path: Path) -> None:
    """Write a file under a name, complete or not at all."""
    write_file(_pieces(file), {"name": path.name, "sha256": file.sha256}, path.parent)


def _pieces(file: FetchedFile) -> Iterator[bytes]:
    file.content.seek(0)
    while piece := file.content.read(_PIECE):
        yield piece
