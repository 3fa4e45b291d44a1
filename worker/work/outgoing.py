"""Outgoing: what was committed waits here for the one thread of its process that publishes it, all that waits at once.

So batches grow with the load by themselves, and nothing waits for another to come. What does not get out is in the
outbox and in the jobs' rows: a process that dies loses time.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial

from kombu.pools import ProducerPool

from worker.broker.batches import Batches
from worker.broker.publishing import Fate, Publication, Unroutable, publish_each
from worker.database import leases
from worker.database.engine import DatabaseError, Engine, single
from worker.database.outbox import Event
from worker.log import Log
from worker.rules.lifecycle import FollowUp
from worker.telemetry import watchdog
from worker.telemetry.failpoints import reach
from worker.work.marks import Marks, Out, tell_delayed

MOST = 256
"""Events and messages that wait at most; as many more may be under way."""

ROOM_SECONDS = 30.0
"""How long who has more waits for room: as long as he would wait for the broker himself."""

FLUSH_SECONDS = 20.0
"""How long a process that ends waits for what was handed over; a pod has that beyond its longest task."""

log = Log(__name__)


@dataclass(frozen=True)
class Parcel:
    """An event or a message of a step, ready to be published, with what its lines of the log are about."""

    what: Event | FollowUp
    publication: Publication
    context: Context = field(default_factory=copy_context, repr=False)


class Outgoing:
    """Publishes what it is given on a thread of its own, in that order."""

    def __init__(self, engine: Engine, producers: ProducerPool, *, is_embedded: bool) -> None:
        self._engine = engine
        self._batches = Batches(producers)
        # The broker of an embedded service confirms nothing.
        self._publish: Callable[[Sequence[Publication]], Sequence[Fate]] = (
            partial(publish_each, producers) if is_embedded else self._batches.publish
        )
        self._changed = threading.Condition()
        self._waiting: list[Parcel] = []
        self._under_way: list[Parcel] = []
        self._is_open = True
        self._marks = Marks(engine)
        self._heart = watchdog.heart("outgoing")
        self._thread = threading.Thread(target=self._run, name="outgoing", daemon=True)
        self._thread.start()

    def take(self, parcels: Sequence[Parcel]) -> bool:
        """Take what is to be published; return False where its giver has to do that.

        Who finds no room waits: what he has would overtake what waits, and nothing gets out sooner by another way.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < MOST or not self._is_open, ROOM_SECONDS)
            if len(self._waiting) >= MOST or not self._is_open:
                return False
            self._waiting += parcels
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Publish what was taken, and take nothing more; what is not out in time is left to the scheduler."""
        self._shut()
        self._thread.join(FLUSH_SECONDS)
        if left := [*self._under_way, *self._waiting]:
            log.warning("outgoing_left", left=len(left), next="the scheduler sends it")
            self._expect(left)

    def _shut(self) -> None:
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while self._next() or self._marks.are_left:
                self._send()
        finally:
            self._heart.rest()
            self._shut()  # Who comes now publishes himself.
            self._batches.close()

    def _next(self) -> bool:
        """Take all that waits; return False where marks are due before anything comes, or nothing will."""
        self._heart.rest()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open, self._marks.due_in)
            self._under_way, self._waiting = self._waiting, []
            self._changed.notify_all()
        self._heart.beat()
        return bool(self._under_way)

    def _send(self) -> None:
        """Publish a batch and note what became of it, whatever that is; write the marks that are due."""
        batch = self._under_way
        try:
            if batch:
                reach("publish.taken")
                fates = self._publish([each.publication for each in batch])
                self._heart.beat()
                self._note(list(zip(batch, fates, strict=True)))
            if not batch or self._marks.due_in == 0:
                self._marks.write()
        except Exception:
            log.exception("outgoing_broke", count=len(batch), next="the scheduler sends what is not out")
            self._expect(batch)
        self._under_way = []

    def _note(self, sent: Sequence[tuple[Parcel, Fate]]) -> None:
        events = [(each, each.what, fate) for each, fate in sent if isinstance(each.what, Event)]
        steps = [(each, fate) for each, fate in sent if isinstance(each.what, FollowUp)]
        self._marks.add([Out(event, fate, each.context) for each, event, fate in events if isinstance(fate, bool)])
        tell_delayed([(each.context, event, fate) for each, event, fate in events if isinstance(fate, Exception)])
        self._expect_unsent([(each, fate or Unroutable()) for each, fate in steps if fate is not True])

    def _expect_unsent(self, unsent: Sequence[tuple[Parcel, Exception]]) -> None:
        """Have the sweep come for the jobs whose messages did not get out."""
        if not unsent:
            return
        (first, error), *_ = unsent
        told = {"reason": type(error).__name__, "count": len(unsent), "next": "the sweep finds the job"}
        first.context.run(log.warning, "step_unsent", **told)
        self._expect([each for each, _ in unsent])

    def _expect(self, parcels: Sequence[Parcel]) -> None:
        tickets = [each.what.ticket for each in parcels if isinstance(each.what, FollowUp)]
        if tickets:
            with suppress(DatabaseError), single(self._engine) as connection:
                leases.expect(connection, tickets)
