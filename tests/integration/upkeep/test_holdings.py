"""What is stored, as metrics: each class of each store, counted seldom."""

from hashlib import sha256
from io import BytesIO

from prometheus_client.parser import text_string_to_metric_families as families

from worker.app import App
from worker.outputs.stores import Role
from worker.rules.output_files import FetchedFile
from worker.upkeep.holdings import COUNTED_FOR, Holdings


def put(app: App, content: bytes, role: Role) -> None:
    """Store a file."""
    digest = sha256(content).hexdigest()
    app.services.stores.put(FetchedFile("a", "text/plain", len(content), digest, BytesIO(content)), role)


def told(app: App, holdings: Holdings) -> dict[tuple[str, str, str], float]:
    """Read the metrics by name, store and role."""
    samples = [
        each for family in families(holdings.exposition(app.services.engine).decode()) for each in family.samples
    ]
    return {(each.name, each.labels["store"], each.labels["role"]): each.value for each in samples}


def test_what_is_stored_is_told_by_store_and_role(app: App) -> None:
    """The same bytes are stored once; a count holds for some minutes, however often it is asked."""
    clock = [0.0]
    holdings = Holdings(lambda: clock[0])
    for content, role in (
        (b"one", Role.OUTPUT),
        (b"one", Role.OUTPUT),
        (b"other", Role.OUTPUT),
        (b"bad", Role.EVIDENCE),
    ):
        put(app, content, role)
    first = told(app, holdings)
    assert first == {
        ("sam3d_files_stored", "database", "output"): 2,
        ("sam3d_bytes_stored", "database", "output"): 8,
        ("sam3d_files_stored", "database", "evidence"): 1,
        ("sam3d_bytes_stored", "database", "evidence"): 3,
    }
    put(app, b"more", Role.OUTPUT)
    assert told(app, holdings) == first
    clock[0] += COUNTED_FOR
    assert told(app, holdings)["sam3d_files_stored", "database", "output"] == 3
