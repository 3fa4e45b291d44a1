"""Relay: events that the worker which wrote them did not get out are sent."""

from collections.abc import Callable

import structlog

from worker.database import outbox
from worker.database.engine import transaction
from worker.work.services import Services

BATCH = 500

log = structlog.get_logger(__name__)


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
    since, is_over = None, False
    while not is_over:
        beat()
        with transaction(services.engine) as connection:
            since = outbox.leave(connection, services.settings.upkeep.relay_grace, since)
        is_over = since is None
