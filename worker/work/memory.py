"""What this process remembers of the database, so that one that was set back is noticed.

Only this remembers: a database that was set back knows nothing of what it lost.
"""

import threading

from worker.database.lineage import Intended


class Memory:
    """The newest submit that this process committed or saw."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._newest: Intended | None = None

    @property
    def newest(self) -> Intended | None:
        """The submit that has to be there."""
        return self._newest

    def keep(self, seen: Intended | None) -> None:
        """Remember a submit, if it is newer than what is remembered."""
        with self._guard:
            if seen and (self._newest is None or seen.at > self._newest.at):
                self._newest = seen
