"""A job's receipt: what it says, its signature, and the file beside the model, made once the job is over.

It is made when the job's last event goes out, as links are: from rows that are committed by then, and the same rows
give the same bytes. So whoever is killed between any two steps is followed by one who finds the file in its store, or
writes it; whoever comes second finds the row. Where no key is set nothing is asked and nothing is written.
"""

import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

from worker import __version__
from worker.config.access import ReceiptSettings
from worker.database import files, particulars
from worker.database.engine import Connection, Engine, transaction
from worker.database.outbox import Event
from worker.errors import ConfigurationError, StoreUnavailable
from worker.log import Log
from worker.outputs.sealing import Seal
from worker.outputs.stores import Role, Stores
from worker.rules.lifecycle import EventType
from worker.rules.output_files import FetchedFile
from worker.rules.receipt import MEDIA_TYPE, NAME, Particulars, compose, written
from worker.telemetry.failpoints import reach

PAUSE = timedelta(seconds=60)
"""For which a store that took none is not asked again: whoever announces has more to do."""

_LAST = {EventType.SUCCEEDED, EventType.FAILED}

log = Log(__name__)


class Receipts:
    """Makes receipts, signs them where a key is set, and keeps those that are signed."""

    def __init__(self, settings: ReceiptSettings, engine: Engine, stores: Stores) -> None:
        self._settings = settings
        self._engine = engine
        self._stores = stores
        self._asks_again_at = 0.0

    @property
    def are_kept(self) -> bool:
        """Whether each job that made files has one beside them."""
        return self._settings.key is not None

    @cached_property
    def _seal(self) -> Seal | None:
        return Seal(self._settings.key) if self._settings.key else None

    def require(self) -> Seal | None:
        """Return what signs, if a key is set; asked at the start, before there is anything to be signed.

        Raises:
            ConfigurationError: it is no such key, or the extra is not installed.
        """
        return self._seal

    def of(self, rows: Particulars) -> bytes:
        """Write a receipt: signed, where a key is set."""
        receipt, seal = compose(rows, __version__), self.require()
        return written(seal.signed(receipt) if seal else receipt)

    def lacking(self, connection: Connection, event: Event, stored: Sequence[Mapping[str, Any]]) -> Particulars | None:
        """Read what a receipt is made of that is to be kept; None where there is one, or none is to be.

        Of a job whose files were deleted, all or some, none is made any more.
        """
        if not self.are_kept or event.type not in _LAST or event.job_id is None:
            return None
        there = {(each["name"], each["sha256"]) for each in stored}
        told = {(each["name"], each["sha256"]) for each in event.payload["outputs"] if not each.get("missing")}
        has_one = any(name == NAME for name, _ in there)
        return particulars.read(connection, event.job_id) if told and told <= there and not has_one else None

    def keep(self, rows: Particulars) -> Sequence[Mapping[str, Any]]:
        """Store a receipt and return its row; none where its store takes nothing now, which stops no event.

        Safe to do twice because the same rows give the same file, and a job has one of its name.
        """
        if time.monotonic() < self._asks_again_at:
            return ()
        content = self.of(rows)
        digest = hashlib.sha256(content).hexdigest()
        try:
            file = FetchedFile(NAME, MEDIA_TYPE, len(content), digest, io.BytesIO(content))
            stored = self._stores.put(file, Role.OUTPUT)
        except (StoreUnavailable, ConfigurationError) as error:
            self._asks_again_at = time.monotonic() + PAUSE.total_seconds()
            log.warning(
                "receipt_unstored", reason=str(error), next="kept once its event is told again, see `sam3d receipt`"
            )
            return ()
        reach("receipt.stored")
        with transaction(self._engine) as connection:
            return [files.add_once(connection, str(rows.job["id"]), stored)]
