"""The photos of a request as its rows have them: their bytes, or where the object store has these."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.intake.images import ImageInput
from worker.intake.request import ReconstructionRequest
from worker.work.office import Office

Files = Sequence[Mapping[str, Any]]


def files_of(office: Office, request: ReconstructionRequest) -> Files:
    """Return the rows of a request's files, those that are bytes once the store has them, where it takes them.

    Safe to do twice because what a photo holds is its place: the second time finds it there.
    """
    return [_row(office, name, image) for name, image in request.files.items()]


def _row(office: Office, name: str, image: ImageInput) -> Mapping[str, Any]:
    row = {"name": name, "url": image.url, "media_type": image.media_type, "location": None, "place": None}
    if image.content is None:
        return {**row, "bytes": None, "sha256": None, "content": None}
    held = {"bytes": image.size, "sha256": image.sha256}
    kept = office.deposits.keep(name, image.content, image.media_type or "", image.sha256)
    if kept is None:
        return {**row, **held, "content": image.content}
    return {**row, **held, "content": None, "location": kept.location, "place": kept.place}
