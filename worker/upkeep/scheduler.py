"""The loop that finds what was left behind: compare, release, look, relay, probe, reconcile, sweep, prune.

Several may run, one works.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

import structlog

from worker.broker.connection import why
from worker.broker.topology import QueueLoad, queue_name
from worker.database import jobs, outbox, slots
from worker.database.engine import Connection, DatabaseError, describe, transaction
from worker.database.jobs import Overdue
from worker.database.locks import SCHEDULER_LOCK, leader
from worker.database.outbox import Event
from worker.rules.job import ACCOUNT
from worker.rules.lifecycle import DRIVEN_BY, FollowUp, JobState, Step, Trigger
from worker.rules.outcome import Fail, decide
from worker.rules.retry import NOW, SHORTEST_GAP
from worker.telemetry import watchdog
from worker.telemetry.failpoints import reach
from worker.upkeep.bulk import BulkLook
from worker.upkeep.clock_steps import ClockWatch
from worker.upkeep.compare import Comparison
from worker.upkeep.lookup import Lookup
from worker.upkeep.probe import probe
from worker.upkeep.prune import prune
from worker.upkeep.readers import Readers
from worker.upkeep.reconcile import reconcile
from worker.work import changes
from worker.work.expecting import Leases, expect_all
from worker.work.services import Services

BATCH = 500
MAX_EXPIRED_LEASES = 5
TICK_SECONDS = 1.0
LONGEST_PART = timedelta(seconds=30)
"""After which a scheduler that does not say that it works has lost its place to another one."""

log = structlog.get_logger(__name__)


class Scheduler:
    """Drives the jobs whose messages were lost and the events that did not get out."""

    def __init__(
        self,
        services: Services,
        declare: Callable[[], Mapping[str, QueueLoad]],
        readers: Readers | None = None,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._readers = readers or Readers()
        self._services = services
        self._declare = declare
        self._loads: Mapping[str, QueueLoad] = {}
        self._leases = Leases(services.engine)
        self._trusts_messages = False
        self._clock_watch = ClockWatch(services.engine, services.settings, steady)
        self._comparison = Comparison(services)
        self._lookup = Lookup(services)
        self._bulk_look = BulkLook(services)
        self._stopped = threading.Event()
        self._heart = watchdog.heart("scheduler")
        self._leads: bool | None = None

    def run(self) -> None:
        """Work whenever the lock is ours, until :meth:`stop`."""
        while not self._stopped.is_set():
            self._heart.beat()
            try:
                silence = self._services.settings.sam3d_sweep_interval + LONGEST_PART
                with leader(self._services.engine, SCHEDULER_LOCK, silence) as is_leader:
                    self._lead(is_leader)
            except DatabaseError as error:
                self._leads = None
                log.warning("scheduler_waits", reason=describe(error), next="tries again in a second")
            self._pause(TICK_SECONDS)

    def _lead(self, is_leader: Callable[[], bool]) -> None:
        interval = self._services.settings.sam3d_sweep_interval.total_seconds()
        while self._tell(leads=is_leader()) and not self._stopped.is_set():
            begins_at = time.monotonic()
            has_broker = self.tick(is_leader)
            ends_at = begins_at + (interval if has_broker else TICK_SECONDS)  # What waits for it is swept at once.
            while (left := ends_at - time.monotonic()) > 0 and not self._stopped.is_set():
                self._pause(min(left, TICK_SECONDS))
                if has_broker and is_leader():
                    self._do(self.compare)
                    self._do(self.release)
                    self._do(self.look)

    def _tell(self, *, leads: bool) -> bool:
        """Say when it changes whether this is the scheduler that works."""
        if leads is not self._leads:
            log.info("scheduler_leads" if leads else "scheduler_follows")
        self._leads = leads
        return leads

    def _pause(self, seconds: float) -> None:
        self._heart.rest()
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """End the loop after the work in hand."""
        self._stopped.set()

    def tick(self, is_leader: Callable[[], bool] = lambda: True) -> bool:
        """Do everything once, and return whether there is a broker to do it with.

        Safe to run twice because each part only does what is still to be done.
        """
        self._heart.beat()
        if not self._has_broker():
            return False
        early = (self.set_clock, self.compare, self.release, self.relay, self.probe, self.expect)
        for part in (*early, self.reconcile, self.sweep, self.prune):
            if not is_leader():
                break
            self._do(part)
        return True

    def _do(self, part: Callable[[], None]) -> None:
        """Run a part; one that breaks must not stop the others."""
        self._heart.beat()
        try:
            part()
        except DatabaseError as error:  # Where it is the database that is away, the next question tells.
            log.warning("scheduler_part_failed", part=part.__name__, reason=describe(error), next="the next tick")
        except Exception:
            log.exception("scheduler_part_failed", part=part.__name__, next="the next tick")

    def _has_broker(self) -> bool:
        """Bring back queues that were deleted; without a broker there is nothing to drive."""
        try:
            self._loads = self._declare()
            self._readers.see(self._loads, self._services.settings.sam3d_sweep_grace)
        except Exception as error:  # Whatever is wrong with the broker, the loop goes on.
            url = self._services.settings.broker_url
            log.warning("broker_unreachable", reason=why(error, url), next="tries again in a second")
            return False
        if any(each.is_after_loss for each in self._loads.values()):
            log.warning("messages_lost", next="every run is looked for soon after it is due")
            self._trusts_messages = False
        return True

    def compare(self) -> None:
        """Compare a database that may have been set back with the request history."""
        self._get_out(self._comparison.compare(self._heart.beat))

    def release(self) -> None:
        """Send the submits that the request budget can carry, where jobs wait for it."""
        grace = max(self._services.settings.sam3d_sweep_grace, SHORTEST_GAP)
        terms = self._services.outlook.terms()
        with transaction(self._services.engine) as connection:
            released = slots.release(connection, ACCOUNT, terms, grace)
        self._get_out([FollowUp(Step.SUBMIT, ticket, NOW) for ticket in released])

    def look(self) -> None:
        """Look at the runs whose polls are due soon all at once, where that is asked for."""
        self._get_out(self._bulk_look.look())

    def relay(self) -> None:
        """Send the events that the worker which wrote them did not get out."""
        grace = self._services.settings.sam3d_relay_grace
        while True:
            self._heart.beat()
            with transaction(self._services.engine) as connection:
                left = outbox.unpublished(connection, grace, BATCH)
            sent = self._services.post.announce(left)
            if left:
                log.info("outbox_relayed", left=len(left), sent=sent)
            if sent < BATCH:
                return

    def probe(self) -> None:
        """Try each held account."""
        self._get_out(probe(self._services))

    def reconcile(self) -> None:
        """Look submits without an answer up."""
        self._get_out(reconcile(self._services, self._lookup, self._clock_watch.ahead))

    def _get_out(self, what: Sequence[FollowUp | Event]) -> None:
        """Announce the events and send the messages, until the broker takes one no more: the next sweep sends it."""
        self._services.post.announce([each for each in what if isinstance(each, Event)])
        for each in what:
            self._heart.beat()
            if isinstance(each, FollowUp) and not self._services.post.send(each):
                return

    def set_clock(self) -> None:
        """Bring back what a step of the database's clock has put off; its messages would come far too late."""
        if self._clock_watch.check(self._heart.beat):
            self._trusts_messages = False

    def expect(self) -> None:
        """Have the sweep come soon for what the dead had taken, and for every run where messages may be lost."""
        self._leases.free()
        if not self._trusts_messages:
            expect_all(self._services.engine, self._heart.beat)
        self._trusts_messages = True

    def sweep(self) -> None:
        """Drive every row that nobody works on though it is due, and never more of them than messages can be lost.

        What waits in a step's queue counts as the messages of its overdue rows: so a backlog never multiplies.
        """
        self._drive(jobs.abandoned, BATCH)
        with transaction(self._services.engine) as connection:
            overdue = jobs.count_overdue(connection)
        for state, count in overdue.items():
            if state is JobState.ACCEPTED and self._services.settings.sam3d_requests_per_minute:
                continue  # Those are released.
            lost = count - self._waiting(DRIVEN_BY[state])
            self._drive(partial(jobs.untaken, state=state), lost)

    def _waiting(self, step: Step | None) -> int:
        queue = self._loads.get(queue_name(step)) if step else None
        return queue.messages if queue else 0

    def _drive(self, find: Callable[[Connection, int], Sequence[Overdue]], most: int) -> None:
        """Send the messages of some overdue rows again."""
        while most > 0:
            self._heart.beat()
            with transaction(self._services.engine) as connection:
                left = find(connection, min(most, BATCH))
                swept = [what for each in left for what in self._sweep(connection, each)]
            reach("sweep.recorded")
            self._get_out(swept)
            if not left:
                return
            log.info("jobs_swept", count=len(left))
            most -= len(left)

    def _sweep(self, connection: Connection, left: Overdue) -> Sequence[FollowUp | Event]:
        """Send a row's message again, or put it to review where that is not safe."""
        if left.expired_leases >= MAX_EXPIRED_LEASES:
            return self._give_up(connection, left, Fail(Trigger.KILLED, "worker_killed", _KILLED))
        step = DRIVEN_BY[left.job.state]
        again_in = max(self._services.settings.sam3d_sweep_grace, SHORTEST_GAP)
        return [FollowUp(step, jobs.redrive(connection, left, again_in), NOW)] if step else ()

    def _give_up(self, connection: Connection, left: Overdue, why: Fail) -> Sequence[Event]:
        change = decide(left.job.state, left.job.attempts, why)
        return changes.write(connection, left.job, change, NOW).events

    def prune(self) -> None:
        """Delete what is not to be kept."""
        prune(self._services, self._heart.beat)


_KILLED = f"{MAX_EXPIRED_LEASES} workers in a row ended while they worked on this job."
