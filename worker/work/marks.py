"""Marks: that events are out is noted at once of all that the broker confirmed within some tenths of a second.

Their statement costs as much for one as for thirty. Whoever dies before it has the scheduler send them again, under the
same ids.
"""

import time
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field

from worker.database import outbox
from worker.database.engine import DatabaseError, Engine, describe, single
from worker.database.outbox import Event
from worker.log import Log
from worker.telemetry.failpoints import reach

WITHIN_SECONDS = 0.2
"""How long an event that is out waits for its mark."""

log = Log(__name__)


@dataclass(frozen=True)
class Out:
    """An event that the broker has, whether any queue took it, and what its line of the log is about."""

    event: Event
    was_routed: bool
    context: Context = field(repr=False)


class Marks:
    """The marks that one thread has to write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._out: list[Out] = []
        self._due_at = 0.0

    @property
    def are_left(self) -> bool:
        """Whether any has to be written."""
        return bool(self._out)

    @property
    def due_in(self) -> float | None:
        """In how many seconds they have to be written, if any have."""
        return max(0.0, self._due_at - time.monotonic()) if self._out else None

    def add(self, out: Sequence[Out]) -> None:
        """Take what is out."""
        if out and not self._out:
            self._due_at = time.monotonic() + WITHIN_SECONDS
        self._out += out

    def write(self) -> None:
        """Write them in one statement."""
        out, self._out = self._out, []
        if not out:
            return
        reach("publish.confirmed")
        try:
            with single(self._engine) as connection:
                outbox.mark_published(connection, {each.event.id: each.was_routed for each in out})
        except DatabaseError as error:
            tell_delayed([(each.context, each.event, error) for each in out])
            return
        for each in out:
            level = log.info if each.was_routed else log.warning
            told = {"event_id": each.event.id, "event_type": each.event.type, "was_routed": each.was_routed}
            each.context.run(level, "event_published", **told)


def tell_delayed(delayed: Sequence[tuple[Context, Event, Exception]]) -> None:
    """Say once for all what holds events up."""
    if not delayed:
        return
    (context, event, error), *_ = delayed
    told = {"event_id": event.id, "count": len(delayed), "reason": describe(error), "next": "the scheduler sends it"}
    context.run(log.warning, "event_delayed", **told)
