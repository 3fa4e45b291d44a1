"""What a step works with: one record, made by ``app`` at boot, closed at shutdown."""

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from kombu.pools import ProducerPool

from worker.config.environment import Settings
from worker.database.engine import create_database_engine
from worker.database.locks import Session
from worker.outputs.deposits import Deposits
from worker.outputs.download import Downloads
from worker.outputs.links import Links
from worker.outputs.stores import Stores
from worker.vendor.api import Vendor
from worker.work.memory import Memory
from worker.work.office import Office
from worker.work.outlook import Outlook
from worker.work.post import Post
from worker.work.receipts import Receipts
from worker.work.room import READ, SENT, NextUp, Room

BESIDE = 7
"""Connections to the database beside the slots': those of the threads that accept, publish, read the inbox and look."""


@dataclass(frozen=True)
class Services(Office):
    """The outside world of a worker process."""

    vendor: Vendor
    downloads: Downloads
    stores: Stores
    outlook: Outlook
    session: Session
    worker_name: str
    steps: Collection[str]  # What this process does.
    memory: Memory = field(default_factory=Memory)
    reading: Room = field(default_factory=partial(Room, READ))
    sending: Room = field(default_factory=partial(Room, SENT))
    next_up: NextUp = field(default_factory=NextUp)

    def close(self) -> None:
        """Give connections back."""
        self.vendor.close()
        self.downloads.close()
        self.session.close()
        self.engine.dispose()


def open_services(settings: Settings, producers: ProducerPool, steps: Collection[str]) -> Services:
    """Build the services of a process that publishes with these producers and does these steps.

    Nothing is connected yet.
    """
    engine = create_database_engine(settings.database.url, settings.process.concurrency + BESIDE)
    stores = Stores(settings.storage, engine)
    links, receipts = Links(settings.links, stores), Receipts(settings.receipts, engine, stores)
    return Services(
        settings=settings,
        engine=engine,
        vendor=Vendor(settings),
        downloads=Downloads(settings),
        stores=stores,
        deposits=Deposits(settings.storage, stores),
        open_post=partial(Post, engine, producers, links, receipts, is_embedded=settings.broker.is_embedded),
        outlook=Outlook(settings, engine),
        session=Session(engine),
        worker_name=f"{socket.gethostname()}-{os.getpid()}",
        steps=steps,
    )
