"""Post: what follows a commit. Its events are announced, then the message of the next step is sent.

A worker has a thread that does so for all of its tasks; whoever has none does it at once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kombu.pools import ProducerPool

from worker.broker.next_message import publish_step, step_publication
from worker.broker.topology import PUBLISH_ERRORS
from worker.database import files, leases, outbox
from worker.database.engine import DatabaseError, Engine, describe, single, transaction
from worker.database.outbox import Event
from worker.errors import TransientError
from worker.events.linking import with_links
from worker.events.publisher import event_publication, publish_event
from worker.log import Log
from worker.outputs.links import Links
from worker.rules.lifecycle import FollowUp
from worker.telemetry.failpoints import reach
from worker.work.outgoing import Outgoing, Parcel
from worker.work.receipts import Receipts

log = Log(__name__)


class Post:
    """Gets events to ``sam3d.events`` and messages to the steps. What the broker does not take is sent again later."""

    def __init__(
        self, engine: Engine, producers: ProducerPool, links: Links, receipts: Receipts, *, is_embedded: bool = False
    ) -> None:
        self._engine = engine
        self.links = links
        self.receipts = receipts
        self._producers = producers
        self._is_embedded = is_embedded
        self._outgoing: Outgoing | None = None

    def start(self) -> None:
        """Have a thread publish what follows commits in this process from now on."""
        self._outgoing = Outgoing(self._engine, self._producers, is_embedded=self._is_embedded)

    def close(self) -> None:
        """Get out what that thread was given, for some seconds at most; whoever has more publishes it himself."""
        if self._outgoing:
            self._outgoing.close()

    def follow(self, events: Sequence[Event], follow_up: FollowUp | None = None) -> None:
        """Have what was committed announced, then the message sent that follows, if one does: by the thread, if any."""
        if not events and follow_up is None:
            return
        if self._outgoing is None or not self._outgoing.take(self._ready(events, follow_up)):
            self.announce(events)
            self.send(follow_up)

    def _ready(self, events: Sequence[Event], follow_up: FollowUp | None) -> Sequence[Parcel]:
        """Write what is to be published. What links and receipts are asked for holds up nobody but who asks."""
        ready = []
        try:
            for event in events:
                ready.append(Parcel(event, event_publication(self._linked(event))))
        except DatabaseError as error:
            log.warning("event_delayed", event_id=event.id, reason=describe(error), next="the scheduler sends it")
        if follow_up:
            ready.append(Parcel(follow_up, step_publication(follow_up, is_embedded=self._is_embedded)))
        return ready

    def deliver(self, what: Sequence[Event | FollowUp], beat: Callable[[], None]) -> None:
        """Announce the events and send the messages, until the broker takes one no more: the sweep sends what is left.

        ``beat`` says before each message that its sender lives.
        """
        self.announce([each for each in what if isinstance(each, Event)])
        for each in what:
            beat()
            if isinstance(each, FollowUp) and not self.send(each):
                return

    def announce(self, events: Sequence[Event]) -> int:
        """Publish committed events; what fails stays in the outbox for the relay. Return how many went out."""
        try:
            for event in events:
                self._announce(event)
        except (*PUBLISH_ERRORS, DatabaseError) as error:
            log.warning("event_delayed", event_id=event.id, reason=describe(error), next="the scheduler sends it")
            return events.index(event)
        return len(events)

    def _announce(self, event: Event) -> None:
        """Publish an event, and mark it once the broker has confirmed it."""
        was_routed = publish_event(self._producers, self._linked(event))
        reach("publish.confirmed")
        with single(self._engine) as connection:
            outbox.mark_published(connection, {event.id: was_routed})
        level = log.info if was_routed else log.warning
        level("event_published", event_id=event.id, event_type=event.type, was_routed=was_routed)

    def _linked(self, event: Event) -> Event:
        """Return an event as it goes out, however long after it was written: with links that are good from now on.

        The receipt of a job that is over is made before, if it has none.
        """
        stored: Sequence[Mapping[str, Any]] = ()
        if not event.payload.get("outputs") or event.job_id is None:
            return event
        if self.links.are_made or self.receipts.are_kept:
            with transaction(self._engine) as connection:
                stored = files.of_job(connection, event.job_id)
                lacking = self.receipts.lacking(connection, event, stored)
            stored = [*stored, *(self.receipts.keep(lacking) if lacking else ())]
        return with_links(event, stored, self.links)

    def tell(self, event: Event) -> None:
        """Publish an answer: an event that was announced before, or is no row; nothing is marked.

        Raises:
            TransientError: the broker did not take it, and nobody else will send it.
        """
        try:
            was_routed = publish_event(self._producers, self._linked(event))
        except PUBLISH_ERRORS as error:
            raise TransientError("The broker did not take an answer.") from error
        log.info("answer_published", event_id=event.id, event_type=event.type, was_routed=was_routed)

    def send(self, follow_up: FollowUp | None) -> bool:
        """Send the message of the next step, if there is one; return whether the broker has it."""
        if follow_up is None:
            return True
        try:
            publish_step(self._producers, follow_up, is_embedded=self._is_embedded)
        except PUBLISH_ERRORS as error:
            log.warning("step_unsent", reason=type(error).__name__, next="the sweep finds the job")
            with suppress(DatabaseError), single(self._engine) as connection:
                leases.expect(connection, [follow_up.ticket])
            return False
        return True
