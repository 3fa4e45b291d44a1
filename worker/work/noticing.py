"""Notice: a database that lacks what this process knows to be committed was set back; nothing is submitted then."""

from typing import Any

from worker.database import lineage
from worker.database.engine import Connection, on_connect
from worker.log import Log
from worker.work.services import Services

log = Log(__name__)


def watch(services: Services) -> None:
    """Look with each new connection whether what this process remembers is still there: a restore ends the old ones."""

    def check(driver: Any) -> None:
        remembered = services.memory.newest
        if remembered and lineage.note_missing_at_once(driver, services.account, remembered):
            _tell_set_back()

    on_connect(services.engine, check)


def is_set_back(connection: Connection, services: Services) -> bool:
    """Tell whether the database lacks a submit that this process knows to be committed; it stops all submits then."""
    remembered = services.memory.newest
    is_missing = remembered is not None and lineage.note_missing(connection, services.account, remembered)
    if is_missing:
        _tell_set_back()
    return is_missing


def _tell_set_back() -> None:
    log.error("database_set_back", next="nothing is submitted until it was compared with the request history")
