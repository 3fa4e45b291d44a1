"""A bar makes room for the words beside it."""

from uuid import UUID

import pytest
from rich.cells import cell_len
from rich.progress import TimeElapsedColumn

from worker.cli.progress import Words, bars


def test_a_bar_makes_room_for_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is copied from it, even where what is said beside it is long."""
    monkeypatch.setenv("COLUMNS", "80")
    words = (str(UUID(int=7)), "the database does not answer")
    with bars(Words("stage"), TimeElapsedColumn()) as progress:
        progress.add_task(words[0], stage=words[1])
    (line,) = capsys.readouterr().err.splitlines()
    assert [word in line for word in words] == [True, True]
    assert cell_len(line) <= 80
