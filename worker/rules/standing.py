"""Pure: whose trouble it is, the account's or one job's, judged by what others were answered."""

from dataclasses import dataclass
from enum import StrEnum

ALONE = 3
"""Refusals of one job, while others get through, after which it is the job that is refused."""

PATIENT = 10
"""The same where refusals come and go: another job that was refused got through later."""

IN_DOUBT = 4
"""So many submits in a row without an answer that tells are trouble of the account."""

SUSPECT = 2
"""From so many on only :data:`FEW` submits are under way at once: each may be one more in doubt."""

FEW = 2


class Standing(StrEnum):
    """Who is refused."""

    JOB = "job"  # It alone, while others get through.
    ACCOUNT = "account"  # Nobody gets through.
    OPEN = "open"  # One refusal does not tell.


@dataclass(frozen=True)
class Refusals:
    """What is known of refusals when a job's submit is refused, that one counted."""

    of_job: int
    has_other_passed: bool  # Another job's submit that began after its first refusal was accepted.
    do_others_pass_later: bool  # Another job that was refused since then got through after that.
    is_in_a_row: bool  # The answer before this one was a refusal as well, whoever got it.

    @property
    def standing(self) -> Standing:
        """Say who is refused."""
        needed = PATIENT if self.do_others_pass_later else ALONE
        if self.has_other_passed and self.of_job >= needed:
            return Standing.JOB
        return Standing.ACCOUNT if self.is_in_a_row else Standing.OPEN


@dataclass(frozen=True)
class RefusedReads:
    """What is known when a read of a run is refused."""

    has_other_been_read: bool  # Another run was read since this one's reads are refused.
    is_another_refused: bool  # So are another run's, and none was read since.

    @property
    def standing(self) -> Standing:
        """Say who is refused."""
        if self.has_other_been_read:
            return Standing.JOB
        return Standing.ACCOUNT if self.is_another_refused else Standing.OPEN


def are_in_doubt(unknown_submits: int) -> bool:
    """Tell whether so many submits in a row without an answer that tells are trouble of the account."""
    return unknown_submits >= IN_DOUBT
