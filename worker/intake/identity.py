"""Pure: what a request is known by: the job it names, the message it came in, or for a while its body alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from worker.intake.request import given_job_id
from worker.rules.origin import NOBODY, Origin


@dataclass(frozen=True)
class Identity:
    """What a request is known by.

    ``body_age`` is how long ago its message can have been seen first, where nothing but the body names that; what is
    named otherwise has none, and is known for good. A key of the request is its own only within its ``origin``.
    """

    job_id: str
    message_id: str
    is_named: bool
    body_age: timedelta | None = None
    origin: Origin = NOBODY

    @property
    def body_id(self) -> str | None:
        """What its body makes of it, where that is all there is."""
        return None if self.is_named or self.body_age is None else self.message_id

    @property
    def is_told_apart(self) -> bool:
        """Whether another message of this name is this one, come again; of two equal bodies nobody can tell."""
        return self.body_age is None or self.body_age > timedelta(0)


def identify(
    fields: Mapping[str, Any], derived_id: UUID, body_age: timedelta | None = None, origin: Origin = NOBODY
) -> Identity:
    """Say what a request is known by: its ``job_id``, else what its message is."""
    given = given_job_id(fields)
    return Identity(str(given or derived_id), str(derived_id), given is not None, body_age, origin)
