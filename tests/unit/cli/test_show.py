"""How the command line shows things: as they are, for people and for programs."""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from worker.cli import dead, show
from worker.cli.progress import Words, bars
from worker.rules.lifecycle import JobState


def test_a_mistake_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, unbroken and unchanged, however long it is and whatever it looks like."""
    sentence = "`bounding_box` must be `[x1, y1, x2, y2]`; see [/docs] " + "x" * 300
    with pytest.raises(SystemExit) as ended:
        show.fail(sentence, 2)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"sam3d: {sentence}\n")


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
        (timedelta(seconds=59.6), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min 59 s"),
        (timedelta(hours=1, seconds=59), "1 h"),
        (timedelta(days=2, hours=3, minutes=4), "2 d 3 h"),
        (timedelta(days=1000), "1000 d"),
        (timedelta(milliseconds=-1), "0 s"),
        (timedelta(seconds=-90), "-1 min 30 s"),
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


CELLS = st.lists(
    st.lists(st.text(st.sampled_from("ab 東")).map(str.strip) | st.uuids().map(str), min_size=3, max_size=3), min_size=1
)


@given(table=CELLS, width=st.integers(20, 200))
def test_columns_fit_and_break_no_word(table: list[list[str]], width: int) -> None:
    """Where that is possible at all; else there are none."""
    columns = list(zip(*table, strict=True))
    least = [max(cell_len(word) for cell in column for word in [*cell.split(), ""]) for column in columns]
    widths = show.fitting(table, width)
    assert (widths is None) == (sum(least) + 2 * show.GAP > width)
    if widths is not None:
        assert sum(widths) + 2 * show.GAP <= width
        assert all(given >= needed for given, needed in zip(widths, least, strict=True))


@given(table=CELLS, width=st.integers(20, 200))
def test_each_word_of_a_table_is_printed_whole(table: list[list[str]], width: int) -> None:
    """Within the width, however wide its characters are."""
    with patch.dict(os.environ, COLUMNS=str(width)), redirect_stdout(StringIO()) as out:
        show.print_table([dict(zip("xyz", row, strict=True)) for row in table], "xyz")
    printed = out.getvalue()
    words = [word for row in table for cell in row for word in cell.split()]
    assert not Counter(words) - Counter(printed.split())
    if show.fitting([["x", "y", "z"], *table], width):
        assert Counter(printed.split()) == Counter([*words, *"xyz"])
        assert max(map(cell_len, printed.splitlines())) <= width


def test_titles_end_right_over_their_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell goes on below its beginning, beside those of its row."""
    monkeypatch.setenv("COLUMNS", "13")
    show.print_table([{"is_so": "one two"}, {"is_so": "y", "error_code": "credits"}], ["error_code", "is_so"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["error    is", "code     so", "-        one", "         two", "credits  y"]


@pytest.mark.parametrize("words", [1, 3, 6])
def test_a_table_that_does_not_fit_is_printed_in_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    """All of it, within the width, and no word broken; an id can be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        {"id": str(UUID(int=number)), "run": str(UUID(int=number + 7)), "why": " ".join(["remote_unavailable"] * words)}
        for number in range(2)
    ]
    show.print_table(rows, ["id", "run", "why"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert printed.count("remote_unavailable") == 2 * words
    assert all(printed.count(str(row[name])) == 1 for row in rows for name in ("id", "run"))


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error: what a program reads is empty."""
    show.print_table([], ["id"], "jobs")
    assert capsys.readouterr() == ("", "no jobs\n")


UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""The categories of Unicode whose characters steer a terminal, turn the direction of text, or leave nothing to see."""

HOSTILE = "\x1b]52;c;cm0gLXJm\x07\x9b2J\r\n\x7f\u202e\u2066\u200f\u061c\u200b\ufeff\u2028\u3164\ufe0f\U000e0041\ud800"
FOREIGN = st.text(st.characters() | st.sampled_from(HOSTILE), max_size=30) | st.just(HOSTILE)


def progress_line(text: str) -> None:
    """Print what a bar says of a file of that name, where a person sees it."""
    with bars(Words("stage")) as progress:
        progress.add_task(text, stage=text)


def printed_error(text: str) -> None:
    """End a command with a text."""
    with pytest.raises(SystemExit):
        show.fail(text, 1)


SHOWING: dict[str, Callable[[str], object]] = {
    "say": show.say,
    "note": show.note,
    "head": show.head,
    "fail": printed_error,
    "brief": lambda text: print(show.brief({text: [text], "at": {"deeper": text}})),
    "table": lambda text: show.print_table([{"id": text, text: text}], ["id", text]),
    "json": lambda text: show.print_json({text: [text]}),
    "bar": progress_line,
    "dead letter": lambda text: dead._print_contents(
        text, id="0", reason=text, properties={"type": text}, headers={text: text, "x-death": [{text: text}]}
    ),
}


@pytest.mark.parametrize("name", SHOWING)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(text=FOREIGN)
def test_nothing_that_is_shown_steers_a_terminal(capsys: pytest.CaptureFixture[str], name: str, text: str) -> None:
    """Whatever a sender, the vendor or the database wrote, and wherever it is shown."""
    SHOWING[name](text)
    printed = "".join(capsys.readouterr()).replace("\n", "")
    assert {each for each in printed if unicodedata.category(each) in UNSEEN} == set()
    assert not set(printed) & {"\u3164", "\ufe0f"}, "nor can it hide"


@pytest.mark.parametrize("name", SHOWING)
def test_a_value_starts_no_line(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Who writes a line break does not write a line of ours; only the body of a dead letter has lines of its own."""
    SHOWING[name]("x\nexit code 0\r\u2028y")
    lines = [line.strip() for line in "".join(capsys.readouterr()).splitlines()]
    assert lines.count("exit code 0\\r\\u2028y") == (name == "dead letter")
