"""What tables and their indexes say in words of their own is what the rules say."""

import re

from worker.database.records import is_open
from worker.rules.lifecycle import Verdict


def test_a_submit_is_open_whose_verdict_is() -> None:
    """The index of open submits names the verdicts, as a parameter is none of its predicate."""
    assert set(re.findall(r"'(\w+)'", str(is_open))) == {each.value for each in Verdict if each.is_open}
