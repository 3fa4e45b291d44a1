"""What a decision works with, a step's or a person's: the settings, the database, and the post.

Whoever only decides needs neither Celery nor what speaks with the vendor, which take long to import.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.broker.connection import opened_producers
from worker.config.environment import Settings
from worker.database.engine import Engine, create_database_engine
from worker.outputs.deposits import Deposits
from worker.outputs.links import Links
from worker.outputs.stores import Stores
from worker.rules.job import ACCOUNT
from worker.telemetry import failpoints
from worker.work.post import Post
from worker.work.receipts import Receipts

CONNECTIONS = 2
"""To the database, of a process that does one thing after the other."""


@dataclass(frozen=True)
class Office:
    """What any process has that changes jobs."""

    settings: Settings
    engine: Engine
    post: Post
    deposits: Deposits
    account: str = field(default=ACCOUNT, kw_only=True)


@contextmanager
def opened_office(settings: Settings) -> Iterator[Office]:
    """Give the office of a process without tasks; nothing is connected yet."""
    failpoints.arm(settings.process.failpoints)
    engine = create_database_engine(settings.database.url, CONNECTIONS)
    try:
        with opened_producers(settings.broker) as producers:
            stores = Stores(settings.storage, engine)
            links, receipts = Links(settings.links, stores), Receipts(settings.receipts, engine, stores)
            receipts.require()
            post = Post(engine, producers, links, receipts, is_embedded=settings.broker.is_embedded)
            yield Office(settings, engine, post, Deposits(settings.storage, stores))
    finally:
        engine.dispose()
