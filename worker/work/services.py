"""What a step works with: one record, made by ``app`` at boot, closed at shutdown."""

from dataclasses import dataclass, field
from functools import partial

from worker.database.locks import Session
from worker.outputs.download import Downloads
from worker.vendor.api import Vendor
from worker.work.memory import Memory
from worker.work.office import Office
from worker.work.outlook import Outlook
from worker.work.room import READ, SENT, Room


@dataclass(frozen=True)
class Services(Office):
    """The outside world of a worker process."""

    vendor: Vendor
    downloads: Downloads
    outlook: Outlook
    session: Session
    worker_name: str
    memory: Memory = field(default_factory=Memory)
    reading: Room = field(default_factory=partial(Room, READ))
    sending: Room = field(default_factory=partial(Room, SENT))

    def close(self) -> None:
        """Give connections back."""
        self.vendor.close()
        self.downloads.close()
        self.session.close()
        self.engine.dispose()
