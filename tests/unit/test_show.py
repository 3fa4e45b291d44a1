"""How the command line shows things: as they are, for people and for programs."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from worker.cli import EXIT_CODES, show
from worker.client import WaitTimeout
from worker.errors import ConfigurationError, InvalidMessage, Sam3dError
from worker.lifecycle import JobState


def test_a_mistake_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, unbroken and unchanged, however long it is and whatever it looks like."""
    sentence = "`bounding_box` must be `[x1, y1, x2, y2]`; see [/docs] " + "x" * 300
    with pytest.raises(SystemExit) as ended:
        show.fail(sentence, 2)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"sam3d: {sentence}\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(Sam3dError("x"), 1), (InvalidMessage("image", "x"), 2), (ConfigurationError("x"), 3), (WaitTimeout("x"), 4)],
)
def test_exit_codes(error: Exception, code: int) -> None:
    """What a script can branch on: the first class that fits decides."""
    assert next(code for kind, code in EXIT_CODES if isinstance(error, kind)) == code


def test_json_is_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """One document; times as ISO 8601, durations as seconds, all else as text."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    values: dict[str, Any] = {
        "at": moment, "age": timedelta(milliseconds=1500), "id": UUID(int=7), "path": Path("/x"),
        "state": JobState.FAILED, "text": "é [bold] [/]", "nothing": None,
    }  # fmt: skip
    show.print_json(values)
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-02T03:04:05+00:00",
        "age": 1.5,
        "id": "00000000-0000-0000-0000-000000000007",
        "path": "/x",
        "state": "failed",
        "text": "é [bold] [/]",
        "nothing": None,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (JobState.FAILED, "failed"),
        (timedelta(seconds=31.7), "32 s"),
        (7, "7"),
        (0, "0"),
        ("", ""),
        (False, "False"),
        (Decimal("0.0600"), "0.06"),
        (Decimal("1.000000"), "1"),
        (Decimal(100), "100"),
        (Decimal(0), "0"),
        (Decimal("0.000000"), "0"),
    ],
)
def test_values_are_brief(value: object, shown: str) -> None:
    """As a person reads them."""
    assert show.brief(value) == shown


def test_nothing_is_a_dash() -> None:
    """An empty cell could be a mistake."""
    assert len(show.brief(None)) == 1


@pytest.mark.parametrize("text", ["must be `[x1, y1]`", "see [/docs]", "[bold]x", "[link=x]", "\\[x]", ":smile:"])
def test_a_table_shows_what_is_in_it(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A sentence in a cell is text: no part of it is read as a style, and none makes it fail."""
    show.print_table([{"id": "job", "why": text}], ["id", "why"])
    assert text in capsys.readouterr().out


def test_a_table_has_the_columns_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, with a heading each; what a row lacks is a dash."""
    show.print_table(
        [{"state": "failed", "error_code": "x", "other": "y"}, {"state": "review"}], ["state", "error_code"]
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["state", "error", "code"], ["failed", "x"], ["review", show.brief(None)]]
