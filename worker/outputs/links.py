"""Links to outputs, for whoever has no database of ours: good for a while, made when they are told, kept nowhere.

An object store signs its own; any other file is got from our file server.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.config.access import LinkSettings
from worker.errors import ConfigurationError, StoreUnavailable
from worker.log import Log
from worker.outputs.stores import Stores
from worker.rules.signing import Signer, Target, can_be_named

PAUSE = timedelta(seconds=60)
"""For which a store that could not sign is not asked again: whoever announces has more to do."""

log = Log(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Link:
    """Where a file can be got, by whoever has this address, until then."""

    url: str = field(repr=False)
    expires_at: datetime


class Links:
    """Makes links; the clock is the machine's, as every store's is."""

    def __init__(self, settings: LinkSettings, stores: Stores, now: Callable[[], datetime] = _now) -> None:
        self._settings = settings
        self._stores = stores
        self._now = now
        self._signer = Signer(settings.keys) if settings.keys else None
        self._asks_again_at = 0.0

    @property
    def are_made(self) -> bool:
        """Whether there can be links at all, as the settings are."""
        return bool(self._signer or self._stores.has_objects)

    def to(self, output: Mapping[str, Any]) -> Link | None:
        """Make a link to an output, by its row; None where there is no way to its file but ours."""
        expires_at = (self._now() + self._settings.lifetime).replace(microsecond=0)
        url = self._signed_by_store(output) or self._signed_by_us(output, expires_at)
        return Link(url, expires_at) if url else None

    def _signed_by_store(self, output: Mapping[str, Any]) -> str | None:
        """Have the store sign an address; where it can't now, that stops nothing."""
        if time.monotonic() < self._asks_again_at:
            return None
        try:
            return self._stores.link(output, self._settings.lifetime)
        except (StoreUnavailable, ConfigurationError) as error:
            self._asks_again_at = time.monotonic() + PAUSE.total_seconds()
            after = "the file server has it" if self._signer else "`sam3d link` makes one once the store can sign"
            log.warning("link_unsigned", output_id=output["id"], reason=str(error), next=after)
            return None

    def _signed_by_us(self, output: Mapping[str, Any], expires_at: datetime) -> str | None:
        if not self._signer or not self._settings.public_url or not can_be_named(output["name"]):
            return None
        target = Target(output["id"], output["sha256"], output["name"])
        return self._settings.public_url.rstrip("/") + self._signer.sign(target, int(expires_at.timestamp()))
