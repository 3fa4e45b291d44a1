"""Pure: the vendor's run as values: what its API and its request history say of one, whatever the wire had."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from worker.rules.presigned import PLACE
from worker.rules.request_id import canonical_id

OK, FAILED_RUN = 200, 422


class RemoteStatus(StrEnum):
    """The vendor's own states; ``UNRECOGNISED`` is ours, for a word that its documentation does not have."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNRECOGNISED = "UNRECOGNISED"

    @classmethod
    def of(cls, word: object) -> "RemoteStatus":
        """Read the vendor's word; one that we do not know is a run that has not ended."""
        return next((known for known in cls if known == word), cls.UNRECOGNISED)

    @classmethod
    def of_history(cls, word: object) -> "RemoteStatus":
        """Read the request history's word, which has one for all that is not over."""
        return cls.PROCESSING if word == "PENDING" else cls.of(word)


OVER = frozenset({RemoteStatus.COMPLETED, RemoteStatus.FAILED})
UNDER_WAY = frozenset({RemoteStatus.QUEUED, RemoteStatus.PROCESSING})


@dataclass(frozen=True)
class Submitted:
    """The vendor accepted a paid run, at this time by its own clock if it said so."""

    request_id: str
    http_status: int = OK
    answered_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RunStatus:
    """One look at a run: its status, and once it is over its metrics, or what went wrong."""

    status: RemoteStatus
    metrics: Mapping[str, float]
    error: str | None
    answered_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RunResult:
    """The final body of a run: as its status, the addresses of its output files, and what is kept of it as it came."""

    run: RunStatus
    addresses: tuple[str, ...] = field(repr=False)
    body: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


DEFAULTS: Mapping[str, object] = {
    "image": None,
    "mask": None,
    "prompt": None,
    "bounding_box": None,
    "point_coords": None,
    "seed": 123,
    "include_artifacts": False,
}
"""The parameters of the model's API page; one that was not sent is listed with its default, or not at all."""

PARAMETERS = tuple(DEFAULTS)
DEFAULT = "default"
"""The kind of a parameter that was not sent, or sent as its default."""

Inputs = Mapping[str, str]
"""A mark for each parameter that is not its default: its kind and its digest; equal marks are equal values."""


@dataclass(frozen=True)
class Listed:
    """A request that the history lists: the rows of all its outputs in one; ``inputs`` is None if unreadable.

    ``rows`` are those as they came, without what was sent, where they are wanted.
    """

    request_id: str
    created_at: datetime
    status: RemoteStatus
    inputs: Inputs | None
    user: str | None
    cost: float | None
    error: str | None = field(repr=False)
    addresses: tuple[str, ...] = field(repr=False)
    model: str | None = None
    has_zone: bool = True  # Of its time; one without counts as UTC until the vendor's clock is learnt.
    rows: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)
    places: Inputs = field(default_factory=dict)  # Of files that are shown by a URL: a mark of where it leads.

    @property
    def run(self) -> str:
        """The request id in the one writing that ids are compared in."""
        return canonical_id(self.request_id)

    @property
    def placed(self) -> Inputs | None:
        """What it shows to one who has sent addresses of ours wherever it shows a URL; None where that is nowhere."""
        return {**self.inputs, **self.places} if self.inputs and self.places else None

    def seen_by(self, sent: Inputs) -> Inputs | None:
        """Return what it shows to one who has sent these: a URL, where an address of ours was sent, by its place."""
        placed = {name: mark for name, mark in self.places.items() if kind(sent, name) == PLACE}
        return {**self.inputs, **placed} if placed and self.inputs is not None else self.inputs


@dataclass(frozen=True)
class Look:
    """What the history showed: its requests by canonical id, and whether all of the time asked for is covered."""

    requests: Mapping[str, Listed]
    is_complete: bool


def kind(inputs: Inputs, name: str) -> str:
    """Return of what kind a parameter's value is; rows may show one kind otherwise than another."""
    return inputs.get(name, DEFAULT).partition(":")[0]
