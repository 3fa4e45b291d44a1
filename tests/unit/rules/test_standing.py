"""Whose trouble it is: one refusal does not tell, two in a row do, and so does one job that others pass by."""

import pytest

from worker.rules.standing import ALONE, IN_DOUBT, PATIENT, Refusals, RefusedReads, Standing, are_in_doubt


def refused(
    of_job: int = 1, *, has_passed: bool = False, do_come_back: bool = False, in_a_row: bool = False
) -> Standing:
    """Return who is refused."""
    return Refusals(of_job, has_passed, do_come_back, in_a_row).standing


def test_one_refusal_does_not_tell() -> None:
    """Neither does the second of a job that others pass by."""
    assert refused() is Standing.OPEN
    assert refused(ALONE - 1, has_passed=True) is Standing.OPEN


def test_two_in_a_row_are_the_accounts() -> None:
    """Whoever was refused before, and however often this job was."""
    assert refused(in_a_row=True) is Standing.ACCOUNT
    assert refused(PATIENT, in_a_row=True) is Standing.ACCOUNT


@pytest.mark.parametrize("in_a_row", [True, False])
def test_a_job_that_others_pass_by_is_refused_itself(*, in_a_row: bool) -> None:
    """It alone is, even if another one like it was the last that was refused."""
    assert refused(ALONE, has_passed=True, in_a_row=in_a_row) is Standing.JOB


def test_refusals_that_come_and_go_are_waited_out() -> None:
    """Others that were refused got through later: so may this one."""
    assert refused(ALONE, has_passed=True, do_come_back=True) is Standing.OPEN
    assert refused(PATIENT, has_passed=True, do_come_back=True) is Standing.JOB


@pytest.mark.parametrize(
    ("has_other_been_read", "is_another_refused", "standing"),
    [
        (False, False, Standing.OPEN),
        (False, True, Standing.ACCOUNT),
        (True, False, Standing.JOB),
        (True, True, Standing.JOB),
    ],
)
def test_whose_reads_are_refused(*, has_other_been_read: bool, is_another_refused: bool, standing: Standing) -> None:
    """A second run's, with none read in between, are the account's."""
    assert RefusedReads(has_other_been_read, is_another_refused).standing is standing


def test_submits_in_doubt_are_the_accounts_trouble() -> None:
    """Several in a row, and not one less."""
    assert [are_in_doubt(count) for count in (0, IN_DOUBT - 1, IN_DOUBT)] == [False, False, True]
