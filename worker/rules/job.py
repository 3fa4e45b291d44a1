"""A job's row as a step sees it: a frozen record with one way in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from worker.errors import TransientError
from worker.rules.lifecycle import JobState, Ticket
from worker.rules.request_id import canonical_id

MAX_IMAGE_BYTES = 10 * 2**20
"""Image and mask together: RabbitMQ 4 refuses messages over 16 MiB, and base64 adds a third."""


@dataclass(frozen=True)
class InputFile:
    """An input as the vendor gets it: from a URL, or its content.

    One that is in our object store, at ``location``, has neither before it is enclosed with a submit; ``place`` is the
    mark of where its address leads.
    """

    name: str
    url: str | None = field(repr=False)
    content: bytes | None = field(repr=False)
    location: str | None = None
    place: str | None = None
    size: int | None = None


class Body:
    """What a submit says, of a job that is taken or of one that is about to be."""

    parameters: Mapping[str, Any]
    files: Sequence[InputFile]

    @property
    def inputs(self) -> dict[str, Any]:
        """What a submit says: the parameters, and each file as a URL or as its bytes."""
        return {**self.parameters, **{file.name: file.url or file.content or b"" for file in self.files}}

    @property
    def weight(self) -> int:
        """How many bytes of files a submit has to have in hand, as far as it is known."""
        return sum(len(file.content or b"") or (file.size or 0) for file in self.files if file.url is None)

    @property
    def is_inline(self) -> bool:
        """Whether a file is sent in the body, not as a URL."""
        return any(file.url is None and file.location is None for file in self.files)

    @property
    def is_addressed(self) -> bool:
        """Whether a file of our object store is sent as an address, or will be."""
        return any(file.location is not None for file in self.files)


@dataclass(frozen=True)
class Job(Body):
    """What a step needs to know; read in the statement that takes the lease."""

    id: str
    account: str
    state: JobState
    version: int
    parameters: Mapping[str, Any] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    attempts: int
    broken_files: int
    polls: int
    request_id: str | None
    submitted_at: datetime | None
    observed_at: datetime
    token: str | None = None
    files: Sequence[InputFile] = field(default=(), repr=False)
    vendor_submitted_at: datetime | None = None
    running_at: datetime | None = None
    gone_looks: int = 0
    requests: int = 0
    metrics: Mapping[str, Any] | None = field(default=None, repr=False)
    addresses: Sequence[str] | None = field(default=None, repr=False)
    kept: Mapping[str, str] | None = field(default=None, repr=False)
    is_shared: bool = False
    shares: str | None = None
    is_in_trouble: bool = False  # Its account, when it was taken: what the job is answered may tell something of that.
    obstacle: TransientError | None = None  # Why its submit can't be sent now, though it was taken for it.

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Make a job of a row that has ``observed_at``, the database's time."""
        known = {name: value for name, value in row.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "state": JobState(row["state"])})

    @property
    def age(self) -> timedelta:
        """How long ago the vendor had it, by the database's clock."""
        return self.observed_at - (self.submitted_at or self.observed_at)

    @property
    def run(self) -> str:
        """Its run's id in the one writing that ids are compared in; nothing where it has none."""
        return canonical_id(self.request_id or "")

    @property
    def ticket(self) -> Ticket:
        """What a message about this version carries."""
        return Ticket(self.id, self.version)


ACCOUNT = "default"
"""The one account that there is so far."""
