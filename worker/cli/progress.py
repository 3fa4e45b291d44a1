"""Bars for what takes a while, on standard error."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.table import Column
from rich.text import Text

from worker.telemetry.legible import legible


class Words(ProgressColumn):
    """What a bar says of itself, as it is: no part of a file's name is read as a style."""

    def __init__(self, field: str) -> None:
        super().__init__(Column(no_wrap=True))  # The bar gives way.
        self._field = field

    def render(self, task: Task) -> Text:
        """Give the words as they stand now."""
        return Text(legible(str(task.description if self._field == "description" else task.fields[self._field])))


def bars(*columns: ProgressColumn) -> Progress:
    """Make bars that begin with what they are of; use them as a context manager."""
    return Progress(SpinnerColumn(), Words("description"), BarColumn(), *columns, console=Console(stderr=True))


def note_above(shown: Progress, words: str) -> None:
    """Print words on a line above bars that go on, as it is and unbroken: an id in it is copied."""
    shown.console.print(Text(legible(words)), soft_wrap=True)
