"""The README says what the code says."""

import logging
import re
from pathlib import Path

from tests.readme import README, renewed
from worker.rules.lifecycle import LOGGED_END
from worker.work.changes import TOLD_END

WARNING = re.compile(r"""log\.(?:warning|error|exception|critical)\(\s*"([a-z_]+)\"""")
FOR_TESTS = {"failpoint_struck", "failpoints_armed"}


def test_generated_parts_are_up_to_date() -> None:
    """The tables of settings and of a request's fields; renew them with ``make docs``."""
    assert README.read_text() == renewed(README.read_text())


def test_every_warning_is_explained() -> None:
    """Whoever is woken by one finds what it means and what to do."""
    warnings = {event for file in Path("worker").rglob("*.py") for event in WARNING.findall(file.read_text())}
    warnings |= {LOGGED_END[state] for state, (level, _) in TOLD_END.items() if level >= logging.WARNING}
    assert len(warnings) > 50
    assert {each for each in warnings - FOR_TESTS if f"`{each}`" not in README.read_text()} == set()
