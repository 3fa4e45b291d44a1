"""Pure: the facts of a job that a step or a look learnt, each under the name of its column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, Final, TypeVar


class Unset(Enum):
    """What nobody learnt: its column stays as it is, where None would empty it."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What is written to a job's row.

    ``tells_of_account``: the vendor answered for this run, so a held account that this job tries goes on.
    """

    request_id: str | Unset | None = UNSET
    remote_status: str | Unset | None = UNSET
    submitted_at: datetime | Unset | None = UNSET
    vendor_submitted_at: datetime | Unset | None = UNSET
    running_at: datetime | Unset | None = UNSET
    completed_at: datetime | Unset | None = UNSET
    polls: int | Unset = UNSET
    requests: int | Unset = UNSET
    attempts: int | Unset = UNSET
    gone_looks: int | Unset = UNSET
    broken_files: int | Unset = UNSET
    metrics: Mapping[str, float] | Unset | None = UNSET
    cost: float | Unset | None = UNSET
    addresses: Sequence[str] | Unset | None = field(default=UNSET, repr=False)
    kept: Mapping[str, str] | Unset | None = field(default=UNSET, repr=False)
    waits_for: str | Unset | None = UNSET
    error_code: str | Unset | None = UNSET
    error_message: str | Unset | None = UNSET
    tells_of_account: bool = False

    def columns(self) -> dict[str, Any]:
        """Return the columns that are written, and what to them."""
        named = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "tells_of_account"}
        return {name: value for name, value in named.items() if value is not UNSET}

    def __or__(self, later: "Learnt") -> "Learnt":
        """Return both; where both say something, what was learnt later."""
        tells = self.tells_of_account or later.tells_of_account
        return replace(self, **later.columns(), tells_of_account=tells)


NOTHING = Learnt()


def known(value: T | Unset) -> T | None:
    """Return what was learnt, or None."""
    return None if isinstance(value, Unset) else value
