"""Relay: events that the worker which wrote them did not get out are sent."""

from collections.abc import Callable

from worker.database import outbox
from worker.database.engine import transaction
from worker.database.outbox import Walk
from worker.log import Log
from worker.work.services import Services

BATCH = 500

log = Log(__name__)


def relay(services: Services, beat: Callable[[], None]) -> None:
    """Announce what was left, until nothing is or the broker takes no more."""
    _leave(services, beat)
    sent = BATCH
    while sent == BATCH:
        beat()
        with transaction(services.engine) as connection:
            left = outbox.unpublished(connection, BATCH)
        sent = services.post.announce(left)
        if left:
            log.info("outbox_relayed", left=len(left), sent=sent)


def _leave(services: Services, beat: Callable[[], None]) -> None:
    walk: Walk | None = Walk()
    while walk:
        beat()
        with transaction(services.engine) as connection:
            walk = outbox.leave(connection, services.settings.upkeep.relay_grace, walk)
