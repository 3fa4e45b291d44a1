"""What can't be seen is written by its number."""

import pytest

from worker.telemetry.legible import legible


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2J", "\\x1b[2J"), ("a\tb\n", "a\\tb\\n"), ("\u202etxt.exe", "\\u202etxt.exe"), ("\x7f", "\\x7f"),
        ("\ud800", "\\ud800"), ("\U000e0041", "\\U000e0041"), ("é 東京 Ω “x” 🐈", "é 東京 Ω “x” 🐈"),
    ],
)  # fmt: skip
def test_what_can_not_be_seen_is_written_by_its_number(text: str, seen: str) -> None:
    """And all that can be seen stays as it is."""
    assert legible(text) == seen
