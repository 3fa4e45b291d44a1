"""What a decision works with, a step's or a person's: the settings, the database, and the post.

Whoever only decides needs neither Celery nor what speaks with the vendor, which take long to import.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from worker.broker.tls import tls_options
from worker.config.environment import Settings
from worker.database.engine import Engine, create_database_engine
from worker.outputs.deposits import Deposits
from worker.outputs.links import Links
from worker.outputs.stores import Stores
from worker.rules.job import ACCOUNT
from worker.telemetry import failpoints
from worker.work.receipts import Receipts

if TYPE_CHECKING:
    from worker.work.post import Post

CONNECTIONS = 2
"""To the database, of a process that does one thing after the other."""


@dataclass(frozen=True)
class Office:
    """What any process has that changes jobs."""

    settings: Settings
    engine: Engine
    open_post: "Callable[[], Post]"
    deposits: Deposits
    account: str = field(default=ACCOUNT, kw_only=True)

    @cached_property
    def post(self) -> "Post":
        """What follows a commit; it is opened by the first that has something to follow."""
        return self.open_post()


@contextmanager
def opened_office(settings: Settings) -> Iterator[Office]:
    """Give the office of a process without tasks; nothing is connected yet."""
    failpoints.arm(settings.process.failpoints)
    tls_options(settings.broker)  # What is wrong with the settings is said before anything is changed.
    with ExitStack() as opened:
        engine = create_database_engine(settings.database.url, CONNECTIONS)
        opened.callback(engine.dispose)
        stores = Stores(settings.storage, engine)
        links, receipts = Links(settings.links, stores), Receipts(settings.receipts, engine, stores)
        receipts.require()

        def open_post() -> "Post":
            # What speaks AMQP takes long to import, and many a command ends without a word to the broker.
            from worker.broker.connection import opened_producers
            from worker.work.post import Post

            producers = opened.enter_context(opened_producers(settings.broker))
            return Post(engine, producers, links, receipts, is_embedded=settings.broker.is_embedded)

        yield Office(settings, engine, open_post, Deposits(settings.storage, stores))
