"""The README says what the code says."""

from tests.readme import README, renewed


def test_generated_parts_are_up_to_date() -> None:
    """The tables of settings and of a request's fields; renew them with ``make docs``."""
    assert README.read_text() == renewed(README.read_text())
