"""What is stored, and what of it is old: ``prune``."""

from typing import Any

from worker.cli.opened import opened_database
from worker.cli.show import lasted, print_json, print_table, say, sized
from worker.config.environment import Settings
from worker.database import blobs, retention
from worker.database.engine import Engine, transaction
from worker.outputs.stores import Stores
from worker.telemetry.errors_alone import log_errors_alone
from worker.upkeep.prune import classes, delete_old


def prune(*, is_dry: bool, as_json: bool) -> None:
    """Delete what is older than the settings keep it, as the scheduler does; or only count it, and what is stored."""
    log_errors_alone()
    with opened_database() as (settings, engine):
        counted = _counted(settings, engine)
        if not is_dry:
            _delete(settings, engine)
    if as_json:
        print_json(counted)
        return
    old = [{**each, "age": lasted(each["age"]), "old": each["old"]} for each in counted["classes"]]
    print_table(old, ["class", "age", "old"], "classes that are deleted")
    say()
    print_table(
        [{**each, "bytes": sized(each["bytes"])} for each in counted["stored"]], ["store", "files", "bytes"], "files"
    )
    say("Nothing was deleted." if is_dry else "What was old is deleted.")


def _counted(settings: Settings, engine: Engine) -> dict[str, Any]:
    """Count what is old, and what is stored."""
    kept = classes(settings.storage, Stores(settings.storage, engine))
    with transaction(engine) as connection:
        return {
            "classes": [
                {"class": each.name, "age": each.age, "old": retention.count(connection, each.old)} for each in kept
            ],
            "stored": [
                {"store": name, "files": files, "bytes": size} for name, files, size in blobs.stored(connection)
            ],
        }


def _delete(settings: Settings, engine: Engine) -> None:
    for each in classes(settings.storage, Stores(settings.storage, engine)):
        while delete_old(engine, each, lambda: None):
            pass
