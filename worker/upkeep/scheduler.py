"""The loop of whoever leads: each duty once a tick, some of them every second. Several may run, one works."""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

from worker.broker.connection import why
from worker.broker.topology import QueueLoad
from worker.database.engine import DatabaseError, describe
from worker.database.locks import SCHEDULER_LOCK, leader
from worker.log import Log
from worker.telemetry import watchdog
from worker.upkeep.duties import Duties, Duty
from worker.upkeep.readers import Readers
from worker.work.services import Services

TICK_SECONDS = 1.0
LONGEST_PART = timedelta(seconds=30)
"""After which a scheduler that does not say that it works has lost its place to another one."""

log = Log(__name__)


class Scheduler:
    """Does the duties while it leads."""

    def __init__(
        self,
        services: Services,
        declare: Callable[[], Mapping[str, QueueLoad]],
        readers: Readers | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._declare = declare
        self._readers = readers or Readers()
        self._heart = watchdog.heart("scheduler")
        self.duties = Duties(services, self._heart.beat, steady)
        self._stopped = threading.Event()
        self._leads: bool | None = None

    def run(self) -> None:
        """Work whenever the lock is ours, until :meth:`stop`."""
        while not self._stopped.is_set():
            self._heart.beat()
            try:
                silence = self._services.settings.upkeep.sweep_interval + LONGEST_PART
                with leader(self._services.engine, SCHEDULER_LOCK, silence) as is_leader:
                    self._lead(is_leader)
            except DatabaseError as error:
                self._leads = None
                log.warning("scheduler_waits", reason=describe(error), next="tries again in a second")
            self._pause(TICK_SECONDS)

    def stop(self) -> None:
        """End the loop after the work in hand."""
        self._stopped.set()

    def _lead(self, is_leader: Callable[[], bool]) -> None:
        interval = self._services.settings.upkeep.sweep_interval.total_seconds()
        while self._tell(leads=is_leader()) and not self._stopped.is_set():
            begins_at = time.monotonic()
            has_broker = self.tick(is_leader)
            ends_at = begins_at + (interval if has_broker else TICK_SECONDS)  # What waits for it is swept at once.
            while (left := ends_at - time.monotonic()) > 0 and not self._stopped.is_set():
                self._pause(min(left, TICK_SECONDS))
                if has_broker and is_leader():
                    for duty in self.duties.between:
                        self._do(duty)

    def _tell(self, *, leads: bool) -> bool:
        """Say when it changes whether this is the scheduler that works."""
        if leads is not self._leads:
            log.info("scheduler_leads" if leads else "scheduler_follows")
        self._leads = leads
        return leads

    def _pause(self, seconds: float) -> None:
        self._heart.rest()
        self._stopped.wait(seconds)

    def tick(self, is_leader: Callable[[], bool] = lambda: True) -> bool:
        """Do everything once, and return whether there is a broker to do it with; safe to run twice."""
        self._heart.beat()
        if not self._has_broker():
            return False
        for duty in self.duties.each_tick:
            if not is_leader():
                break
            self._do(duty)
        return True

    def _has_broker(self) -> bool:
        """Bring back queues that were deleted; without a broker there is nothing to drive."""
        try:
            loads = self._declare()
            self._readers.see(loads, self._services.settings.upkeep.sweep_grace)
        except Exception as error:  # Whatever is wrong with the broker, the loop goes on.
            url = self._services.settings.broker.url
            log.warning("broker_unreachable", reason=why(error, url), next="tries again in a second")
            return False
        if any(each.is_after_loss for each in loads.values()):
            log.warning("messages_lost", next="every run is looked for soon after it is due")
        self.duties.see(loads)
        return True

    def _do(self, duty: Duty) -> None:
        """Do a duty; one that breaks must not stop the others."""
        self._heart.beat()
        try:
            duty()
        except DatabaseError as error:  # Where it is the database that is away, the next question tells.
            log.warning("scheduler_part_failed", part=duty.__name__, reason=describe(error), next="the next tick")
        except Exception:
            log.exception("scheduler_part_failed", part=duty.__name__, next="the next tick")
