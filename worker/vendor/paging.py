"""Pure: the pages of the request history that a look reads, until they are old enough, in as many turns as it takes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from worker.errors import HistoryMissing
from worker.rules.habits import AS_LISTED, Clocks, is_past
from worker.rules.run import Listed, Look
from worker.vendor.history import join, read_rows

PAGE_SIZES = (100, 10, 1)
"""The largest that the history gives, and what is tried where one has too many bytes, photos as they are."""

MOST_ROWS = 50_000
"""A history that has more of the time that is asked for is not read to its end."""

MAX_UNREAD_PAGES = 3
"""Left out in all, after which the reading ends: the history is not well."""

MOST_KNOWN_PAGES = 10
"""In a row, once newer rows may have moved what was read before by whole pages: in a further turn, on small pages."""


class Reading:
    """What has been read so far of the requests since ``first``, the newest first; a page left out makes it incomplete.

    Rows move to later pages only, as newer ones come: so whatever was listed at ``began_at`` is on a page that was
    read, or on one to come, and a reading that took several turns is whole as of then. ``clocks`` tells from the
    requests read so far how far the times of rows are ahead of those asked for.
    """

    def __init__(
        self,
        first: datetime,
        began_at: datetime,
        clocks: Callable[[Mapping[str, Listed]], Clocks] = lambda _: AS_LISTED,
    ) -> None:
        self.first = first
        self.began_at = began_at
        self.number = 1
        self.is_over = False
        self._sizes: Sequence[int] = PAGE_SIZES
        self._rows = 0
        self._is_full = False
        self._clocks = clocks
        self._read: dict[str, Listed] = {}
        self._failed: list[Exception] = []
        self._is_whole = True
        self._known_pages = self._most_known_pages = 0

    @property
    def size(self) -> int:
        """How many rows a page has."""
        return self._sizes[0]

    def begin_turn(self, first: datetime) -> None:
        """Go on with it, now for what is asked since ``first``."""
        self.first = min(self.first, first)
        self._most_known_pages = MOST_KNOWN_PAGES if self._read else 0

    def take(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the page.

        Raises:
            HistoryMissing: it has rows of another form.
        """
        if not rows and self._is_full:
            self._is_full = False  # Where the history goes on, an empty page is a mistake: it is asked for once more.
            return
        self._is_full = len(rows) >= self.size
        page = read_rows(rows)
        if rows and not page.requests:
            raise HistoryMissing("The request history has rows of another form.")
        is_known = all(self._read.get(run) == each for run, each in page.requests.items())
        self._known_pages = self._known_pages + 1 if is_known else 0
        self._read = join(self._read, page.requests)
        self._rows += len(rows)
        # A short page may be the vendor's own limit: the end is an empty one, or one that is all too old.
        is_end = is_past(page.requests.values(), self.first, self._clocks(self._read))
        is_stuck = self._known_pages > self._most_known_pages  # A page that comes again is one that does not turn.
        self._is_whole = self._is_whole and page.is_complete and (is_end or not is_stuck)
        self._turn_page(is_last=is_end or is_stuck)

    def leave_out(self, error: Exception) -> None:
        """Go on without a page that can't be read; without a history, or after several such pages, it is over."""
        self._failed.append(error)
        self._turn_page(is_last=isinstance(error, HistoryMissing) or len(self._failed) == MAX_UNREAD_PAGES)

    def make_smaller(self) -> bool:
        """Ask for the same rows on smaller pages; return whether there are any."""
        smaller = self._sizes[1:]
        if smaller:
            self._sizes, self._most_known_pages = smaller, MOST_KNOWN_PAGES
            self.number = self._rows // self.size + 1  # As many as came: a page may have had fewer than it may have.
        return bool(smaller)

    def _turn_page(self, *, is_last: bool) -> None:
        is_too_long = self.number * self.size >= MOST_ROWS
        self._is_whole = self._is_whole and (is_last or not is_too_long)
        self.is_over = is_last or is_too_long
        self.number += 1

    def look(self) -> Look:
        """Return what was read.

        Raises:
            HistoryMissing, RemoteUnavailable: nothing was.
        """
        if self._failed and not self._read:
            raise self._failed[0]
        return Look(self._read, self._is_whole and self.is_over and not self._failed)
