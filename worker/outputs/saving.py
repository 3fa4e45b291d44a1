"""A file that was made, on a disk: complete and checked, or not there."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.errors import Sam3dError


def write_file(chunks: Iterator[bytes], file: Mapping[str, Any], folder: Path) -> Path:
    """Write chunks under a temporary name, check their SHA-256, and give the file its name."""
    path, digest = folder / Path(file["name"]).name, hashlib.sha256()
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with partial.open("wb") as target:
            for chunk in chunks:
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != file["sha256"]:
            raise Sam3dError(f"{file['name']} is not what was stored: its SHA-256 differs.")
        return partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
