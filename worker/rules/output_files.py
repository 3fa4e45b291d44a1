"""Pure: an output, as a file that was downloaded and as one that is stored."""

from dataclasses import dataclass, field
from typing import BinaryIO

from worker.rules.geometry import Geometry


@dataclass(frozen=True)
class FetchedFile:
    """An output that was downloaded: on this worker's disk until the store has it; ``flaw`` is why it is not sound."""

    name: str
    media_type: str
    size: int
    sha256: str
    content: BinaryIO = field(repr=False)
    geometry: Geometry | None = None
    flaw: str = ""

    def close(self) -> None:
        """Give its room on the disk back."""
        self.content.close()


@dataclass(frozen=True)
class StoredFile:
    """An output that the store has; ``location`` is where."""

    name: str
    media_type: str
    size: int
    sha256: str
    location: str
    geometry: Geometry | None = None

    @property
    def role(self) -> str:
        """What it is for: the folder of its store that it is in."""
        return self.location.partition(":")[2].partition("/")[0]
