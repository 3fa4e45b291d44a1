"""Photos of requests in the object store, from where the vendor fetches them, each by an address made for one submit.

What the store does not take now stays where photos are without one, in the request's row: nothing waits for it.
"""

import io
import time
from dataclasses import dataclass
from datetime import timedelta

from worker.config.conduct import StorageSettings
from worker.errors import ConfigurationError, StoreUnavailable
from worker.log import Log
from worker.outputs.stores import Role, Stores
from worker.rules.output_files import FetchedFile
from worker.rules.presigned import LIFETIME, mark_of_place

PAUSE = timedelta(seconds=60)
"""For which a store that did not take a photo, or sign for it, is not asked again."""

log = Log(__name__)


@dataclass(frozen=True)
class Deposit:
    """Where a photo is in the object store, and a mark of where its addresses lead."""

    location: str
    place: str


class Deposits:
    """Puts photos into the object store, where the settings say that they are sent as addresses."""

    def __init__(self, settings: StorageSettings, stores: Stores) -> None:
        self._settings = settings
        self._stores = stores
        self._asks_again_at = 0.0

    def keep(self, name: str, content: bytes, media_type: str, sha256: str) -> Deposit | None:
        """Put a photo; None where it is to be kept in its row. A row that names it is to be committed within a day.

        One address is made at once: what can't be signed for has no use there.
        """
        if not self._settings.sends_addresses or time.monotonic() < self._asks_again_at:
            return None
        file = FetchedFile(name, media_type, len(content), sha256, io.BytesIO(content))
        try:
            location = self._stores.put(file, Role.INPUT).location
            return Deposit(location, mark_of_place(self._stores.address(location, LIFETIME)))
        except (StoreUnavailable, ConfigurationError) as error:
            self._asks_again_at = time.monotonic() + PAUSE.total_seconds()
            log.warning("photo_not_deposited", reason=str(error), next="it is kept in PostgreSQL and sent as its bytes")
            return None
