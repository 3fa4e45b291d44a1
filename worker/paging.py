"""Pure: the pages of the request history that one look reads, until they are old enough."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from worker.errors import HistoryMissing
from worker.habits import Clocks, is_past
from worker.history import Listed, Look, join, read_rows

MAX_UNREAD_PAGES = 3


class Reading:
    """What one look has read so far, the newest first; a page that is left out makes it incomplete."""

    def __init__(
        self, first: datetime, clocks: Callable[[Mapping[str, Listed]], Clocks], before: Mapping[str, Listed] = {}
    ) -> None:
        self._first = first
        self._clocks = clocks
        self._before = before
        self._read: dict[str, Listed] = {}
        self._failed: list[Exception] = []
        self._is_whole = True
        self.is_over = False

    @property
    def requests(self) -> dict[str, Listed]:
        """All that was read."""
        return join(self._before, self._read)

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add a page.

        Raises:
            HistoryMissing: it has rows of another form.
        """
        page = read_rows(rows)
        if rows and not page.requests:
            raise HistoryMissing("The request history has rows of another form.")
        is_repeated = all(self._read.get(run) == each for run, each in page.requests.items())
        self._read = join(self._read, page.requests)
        # A short page may be the vendor's own limit: the end is an empty one, or one that is all too old.
        is_end = is_past(page.requests.values(), self._first, self._clocks(self._read))
        self._is_whole = self._is_whole and page.is_complete and (is_end or not is_repeated)
        self.is_over = is_end or is_repeated  # A page that comes again is one that does not turn.

    def leave_out(self, error: Exception) -> None:
        """Go on without a page that can't be read; without a history, or after several such pages, it is over."""
        self._failed.append(error)
        self.is_over = isinstance(error, HistoryMissing) or len(self._failed) == MAX_UNREAD_PAGES

    def look(self) -> Look:
        """Return what was read.

        Raises:
            HistoryMissing, RemoteUnavailable: nothing was.
        """
        if self._failed and not self.requests:
            raise self._failed[0]
        return Look(self.requests, self._is_whole and self.is_over and not self._failed)

    def again(self) -> Self:
        """Begin again with pages of another size, and keep what was read."""
        return type(self)(self._first, self._clocks, self.requests)
