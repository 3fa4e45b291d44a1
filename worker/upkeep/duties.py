"""The duties of whoever leads, in their order, and what they remember from one tick to the next."""

import time
from collections.abc import Callable, Mapping

from worker.broker.topology import QueueLoad, queue_name
from worker.rules.lifecycle import Step
from worker.upkeep.bulk import BulkLook
from worker.upkeep.clock_steps import ClockWatch
from worker.upkeep.compare import Comparison
from worker.upkeep.lookup import Lookup
from worker.upkeep.probe import probe
from worker.upkeep.prune import prune
from worker.upkeep.reconcile import reconcile
from worker.upkeep.relay import relay
from worker.upkeep.release import release
from worker.upkeep.survey import Round
from worker.upkeep.sweep import sweep
from worker.work.services import Services

Duty = Callable[[], None]


class Duties:
    """What is to be done; each is safe to do twice because it only does what is still to be done."""

    def __init__(
        self, services: Services, beat: Callable[[], None], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._services = services
        self._beat = beat
        self._loads: Mapping[str, QueueLoad] = {}
        self._trusts_messages = False
        self._clock_watch = ClockWatch(services.engine, services.settings, steady)
        self._comparison = Comparison(services)
        self._lookup = Lookup(services)
        self._bulk_look = BulkLook(services)
        self._round = Round(services, beat)
        self.each_tick: tuple[Duty, ...] = (
            self.set_clock,
            self.compare,
            self.release,
            self.relay,
            self.probe,
            self.survey,
            self.expect,
            self.reconcile,
            self.sweep,
            self.prune,
        )
        self.between: tuple[Duty, ...] = (self.compare, self.release, self.look)

    def see(self, loads: Mapping[str, QueueLoad]) -> None:
        """Take in how many messages wait in the queues; where queues were lost, messages were."""
        self._loads = loads
        if any(each.is_after_loss for each in loads.values()):
            self._trusts_messages = False

    def set_clock(self) -> None:
        """Bring back what a step of the database's clock has put off; its messages would come far too late."""
        if self._clock_watch.check(self._beat):
            self._trusts_messages = False

    def survey(self) -> None:
        """Look through all that is under way, for the duties that follow; what lies too far ahead is brought back."""
        self._round.begin()
        if self._clock_watch.bring_back(self._round.seen.far, self._beat):
            self._trusts_messages = False
            self._round.begin()

    def compare(self) -> None:
        """Compare a database that may have been set back with the request history."""
        self._services.post.deliver(self._comparison.compare(self._beat), self._beat)

    def release(self) -> None:
        """Send the submits that the request budget can carry, where jobs wait for it."""
        self._services.post.deliver(release(self._services), self._beat)

    def look(self) -> None:
        """Look at the runs whose polls are due soon all at once, where that is asked for."""
        self._services.post.deliver(self._bulk_look.look(), self._beat)

    def relay(self) -> None:
        """Send the events that the worker which wrote them did not get out."""
        relay(self._services, self._beat)

    def probe(self) -> None:
        """Try each held account."""
        self._services.post.deliver(probe(self._services), self._beat)

    def expect(self) -> None:
        """Have the sweep come soon for what the dead had taken, and for every run where messages may be lost."""
        self._round.expect(trusts_messages=self._trusts_messages)
        self._trusts_messages = True

    def reconcile(self) -> None:
        """Look submits without an answer up."""
        found = reconcile(self._services, self._lookup, self._clock_watch.ahead, self._round.seen)
        self._services.post.deliver(found, self._beat)

    def sweep(self) -> None:
        """Send the messages of overdue rows again."""
        sweep(self._services, self._waiting, self._beat, self._round.seen)
        self._round.end()

    def _waiting(self, step: Step | None) -> int:
        queue = self._loads.get(queue_name(step)) if step else None
        return queue.messages if queue else 0

    def prune(self) -> None:
        """Delete what is not to be kept."""
        prune(self._services, self._beat)
