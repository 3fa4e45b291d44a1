"""Pure: which requests are the same work, so that one paid run can serve them."""

from collections.abc import Mapping
from typing import Any

from worker.intake.fingerprint import fingerprint
from worker.intake.request import ReconstructionRequest

DEFAULTS: Mapping[str, Any] = {"seed": 123, "include_artifacts": False}
"""What the vendor takes where a request names nothing (its API page): the same inputs and seed make the same model."""


def share_key(request: ReconstructionRequest, source: str) -> str | None:
    """Return what a sender's requests share that one run can serve; None for one that is to have its own.

    So has an image that is given by its URL: it may be another one by the time that the vendor reads it.
    """
    if request.force or any(image.url for image in request.files.values()):
        return None
    files = {name: image.sha256 for name, image in request.files.items()}
    return fingerprint({"source": source, "parameters": {**DEFAULTS, **request.parameters}, "files": files})
