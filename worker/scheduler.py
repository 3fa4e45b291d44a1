"""The loop that finds what was left behind: sweep, relay, probe, prune. Several may run, one works."""

import threading
from collections.abc import Callable

import structlog

from worker import lifecycle
from worker.database import SCHEDULER_LOCK, Connection, DatabaseError, describe, leader, transaction
from worker.events import change_payload
from worker.lifecycle import ANNOUNCED_ON, DRIVEN_BY, Fail, FollowUp, JobState, Trigger
from worker.repository import accounts, jobs, outbox
from worker.repository.jobs import Overdue
from worker.repository.outbox import Event
from worker.schedule import NOW, sweep_again
from worker.services import Services

BATCH = 500
MAX_EXPIRED_LEASES = 5
TICK_SECONDS = 1.0

Send = Callable[[FollowUp], None]

log = structlog.get_logger(__name__)


class Scheduler:
    """Drives the jobs whose messages were lost and the events that did not get out."""

    def __init__(self, services: Services, send: Send, declare: Callable[[], None]) -> None:
        self._services = services
        self._send = send
        self._declare = declare
        self._stopped = threading.Event()

    def run(self) -> None:
        """Work whenever the lock is ours, until :meth:`stop`."""
        while not self._stopped.is_set():
            try:
                with leader(self._services.engine, SCHEDULER_LOCK) as is_leader:
                    self._lead(is_leader)
            except DatabaseError as error:
                log.warning("scheduler_waits", reason=describe(error), next="tries again in a second")
            self._stopped.wait(TICK_SECONDS)

    def _lead(self, is_leader: Callable[[], bool]) -> None:
        interval = self._services.settings.sam3d_sweep_interval.total_seconds()
        while is_leader() and not self._stopped.is_set():
            self.tick()
            self._stopped.wait(interval)

    def stop(self) -> None:
        """End the loop after the work in hand."""
        self._stopped.set()

    def tick(self) -> None:
        """Do everything once. Safe to run twice because each part only does what is still to be done."""
        if not self._has_broker():
            return
        for part in (self.relay, self.probe, self.sweep, self.prune):
            try:
                part()
            except DatabaseError:
                raise
            except Exception:  # One part that breaks must not stop the others.
                log.exception("scheduler_part_failed", part=part.__name__, next="the next tick")

    def _has_broker(self) -> bool:
        """Bring back queues that were deleted; without a broker there is nothing to drive."""
        try:
            self._declare()
        except Exception as error:  # Whatever is wrong with the broker, the loop goes on.
            log.warning("broker_unreachable", reason=type(error).__name__, next="the next tick")
            return False
        return True

    def relay(self) -> None:
        """Send the events that the worker which wrote them did not get out."""
        grace = self._services.settings.sam3d_relay_grace
        while True:
            with transaction(self._services.engine) as connection:
                left = outbox.unpublished(connection, grace, BATCH)
            sent = self._services.outbox.announce(left)
            if left:
                log.info("outbox_relayed", left=len(left), sent=sent)
            if sent < BATCH:
                return

    def probe(self) -> None:
        """Let one waiting job of each held account try it."""
        interval = self._services.settings.sam3d_probe_interval
        with transaction(self._services.engine) as connection:
            names = accounts.to_probe(connection, interval)
            tickets = [accounts.let_one_through(connection, name) for name in names]
        for ticket in filter(None, tickets):
            log.info("account_probed", job_id=ticket.job_id)
            self._send(FollowUp(lifecycle.Step.SUBMIT, ticket, NOW))

    def sweep(self) -> None:
        """Drive every row that nobody works on though it is due."""
        while True:
            with transaction(self._services.engine) as connection:
                left = jobs.overdue(connection, BATCH)
                swept = [self._sweep(connection, each) for each in left]
            self._services.outbox.announce([each for each in swept if isinstance(each, Event)])
            for follow_up in swept:
                if isinstance(follow_up, FollowUp):
                    self._send(follow_up)
            if left:
                log.info("jobs_swept", count=len(left))
            if len(left) < BATCH:
                return

    def _sweep(self, connection: Connection, left: Overdue) -> FollowUp | Event | None:
        """Send a row's message again, or put it to review where that is not safe."""
        step = DRIVEN_BY[left.job.state]
        if step is None:
            return self._give_up(connection, left, Fail(Trigger.UNKNOWN, "submit_unknown", _DIED_SUBMITTING))
        if left.expired_leases >= MAX_EXPIRED_LEASES:
            return self._give_up(connection, left, Fail(Trigger.KILLED, "worker_killed", _KILLED))
        again_in = sweep_again(left.redrives, self._services.settings.sam3d_sweep_grace)
        return FollowUp(step, jobs.redrive(connection, left, again_in), NOW)

    def _give_up(self, connection: Connection, left: Overdue, why: Fail) -> Event | None:
        change = lifecycle.decide(left.job.state, left.job.attempts, why)
        if jobs.write(connection, left.job, change, NOW) is None:
            return None
        log.error("job_in_review", job_id=left.job.id, reason=why.message, next="see `sam3d job ID`")
        kind = ANNOUNCED_ON[left.job.state, JobState.REVIEW]
        return outbox.add(connection, kind, left.job.id, change_payload(left.job, change))

    def prune(self) -> None:
        """Delete final jobs that are older than the retention."""
        retention = self._services.settings.sam3d_retention
        if retention is None:
            return
        with transaction(self._services.engine) as connection:
            deleted = jobs.prune(connection, retention, BATCH)
        if deleted:
            log.info("jobs_pruned", count=deleted)


_DIED_SUBMITTING = (
    "The worker ended between the submit and its answer: whether a run was started is not known. "
    "Look for it in the vendor's request history."
)
_KILLED = f"{MAX_EXPIRED_LEASES} workers in a row ended while they worked on this job."
