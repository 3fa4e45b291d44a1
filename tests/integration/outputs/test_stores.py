"""Files in each store: kept once, whole or not at all, read from anywhere, deleted when nobody names them."""

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event, text

from tests.support.services.bucket import new_bucket, running_s3
from tests.support.waiting import wait_until
from worker.app import App
from worker.config.environment import Settings
from worker.database import blobs
from worker.database.blobs import CHUNK_BYTES
from worker.database.engine import transaction
from worker.errors import ConfigurationError, StoreUnavailable
from worker.outputs.database_store import SENT
from worker.outputs.stores import Role, Stores
from worker.rules.output_files import FetchedFile, StoredFile
from worker.upkeep.prune import Eraser

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    """Provide an S3."""
    with running_s3() as environment:
        yield environment


@pytest.fixture(params=["database", "s3", "folder"])
def stores(
    request: pytest.FixtureRequest, app: App, s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Stores:
    """Provide each kind of store."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    urls = {"database": None, "s3": new_bucket(s3), "folder": f"file://{tmp_path}/models"}
    settings = Settings().having(SAM3D_STORE_URL=urls[request.param])
    return Stores(settings.storage, app.services.engine)


def fetched(content: bytes) -> FetchedFile:
    """Return a file as a download gives it."""
    sha256 = hashlib.sha256(content).hexdigest()
    return FetchedFile("model.glb", "model/gltf-binary", len(content), sha256, io.BytesIO(content))


def row(stored: StoredFile) -> Mapping[str, object]:
    """Return the row of a file."""
    return {"id": 0, "location": stored.location}


def forget(app: App, stores: Stores) -> int:
    """Delete what nobody has named for a day, a day later."""
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE blobs SET loose_since = loose_since - interval '25 hours'"))
        return blobs.forget_loose(connection, blobs.loose(DAY), 10, Eraser(stores).erase)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 6 * 2**20 + 7])
def test_a_file_comes_back_as_it_was(stores: Stores, size: int) -> None:
    """Smaller than a chunk, a chunk, and more than a part of an upload."""
    content = bytes(range(256)) * (size // 256 + 1)
    stored = stores.put(fetched(content[:size]))
    assert b"".join(stores.read(row(stored))) == content[:size]


@pytest.mark.parametrize("start", [1, CHUNK_BYTES - 1, CHUNK_BYTES, 5 * CHUNK_BYTES + 3])
def test_a_file_is_read_from_anywhere(stores: Stores, start: int) -> None:
    """Who lost his connection goes on where it broke."""
    content = uuid4().bytes * (6 * CHUNK_BYTES // 16)
    assert b"".join(stores.read(row(stores.put(fetched(content))), start)) == content[start:]


def test_a_file_that_is_there_is_not_written_again(app: App, stores: Stores) -> None:
    """The fetch of a worker that died is done once more."""
    content = uuid4().bytes
    first, second = stores.put(fetched(content)), stores.put(fetched(content))
    assert first == second
    with transaction(app.services.engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM blobs")).scalar() == 1


def test_what_a_file_is_for_is_its_folder(stores: Stores) -> None:
    """A bucket's own rules can let each class go at its time."""
    stored = stores.put(fetched(b"glTF"), Role.EVIDENCE)
    assert f":evidence/sha256/{stored.sha256[:2]}/{stored.sha256}" in stored.location


def test_a_file_that_no_row_names_is_deleted_a_day_later(app: App, stores: Stores) -> None:
    """It was put, and its worker died before the commit."""
    stored = stores.put(fetched(uuid4().bytes))
    with transaction(app.services.engine) as connection:
        assert blobs.forget_loose(connection, blobs.loose(DAY), 10, Eraser(stores).erase) == 0
    assert forget(app, stores) == 1
    with pytest.raises(StoreUnavailable) if stored.location.startswith("objects") else closing(io.BytesIO()):
        assert b"".join(stores.read(row(stored))) == b""


def test_a_file_that_is_put_again_meanwhile_stays(app: App, stores: Stores) -> None:
    """Another job has made the same."""
    content = uuid4().bytes
    stores.put(fetched(content))
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE blobs SET loose_since = loose_since - interval '25 hours'"))
    stored = stores.put(fetched(content))
    with transaction(app.services.engine) as connection:
        assert blobs.forget_loose(connection, blobs.loose(DAY), 10, Eraser(stores).erase) == 0
    assert b"".join(stores.read(row(stored))) == content


@pytest.mark.parametrize("size", [16, CHUNK_BYTES + 1])
def test_a_file_that_is_put_while_it_is_forgotten_is_written_anew(app: App, size: int) -> None:
    """Who puts it waits for who deletes it."""
    content = uuid4().bytes * (size // 16 + 1)
    stores = Stores(Settings().storage, app.services.engine)
    stored = stores.put(fetched(content))
    puts = threading.Thread(target=stores.put, args=(fetched(content),))
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE blobs SET loose_since = loose_since - interval '25 hours'"))
        assert blobs.forget_loose(connection, blobs.loose(DAY), 10, Eraser(stores).erase) == 1
        puts.start()
        wait_until(lambda: is_waited_for(app), "who puts it waits")
    puts.join(30)
    assert b"".join(stores.read(row(stored))) == content


def is_waited_for(app: App) -> bool:
    """Tell whether somebody waits for another's lock in this database."""
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with transaction(app.services.engine) as connection:
        return bool(connection.execute(text(waits)).scalar())


@pytest.mark.parametrize("size", [SENT * CHUNK_BYTES + 1, 2 * SENT * CHUNK_BYTES])
def test_a_file_whose_connection_is_lost_is_written_to_its_end_by_the_next(app: App, size: int) -> None:
    """What was waited for is there, of what was under way nothing; until all is there it is not whole."""
    content = (uuid4().bytes * (size // 16 + 1))[:size]
    stores = Stores(Settings().storage, app.services.engine)
    listener = lambda *its: lose(app, its[3])  # noqa: E731
    event.listen(app.services.engine, "before_cursor_execute", listener)
    with pytest.raises(StoreUnavailable):
        stores.put(fetched(content))
    event.remove(app.services.engine, "before_cursor_execute", listener)
    assert kept(app) == (SENT, False)

    stored = stores.put(fetched(content))
    assert kept(app) == (-(-size // CHUNK_BYTES), True)
    assert b"".join(stores.read(row(stored))) == content


def lose(app: App, parameters: Any) -> None:
    """End the session that is about to write the second chunks of a file."""
    first = parameters[0] if isinstance(parameters, list) else parameters
    if first.get("at") == SENT:
        with psycopg.connect(app.services.settings.database.url.replace("+psycopg", "")) as other:
            its = "datname = current_database() AND application_name = 'sam3d'"
            other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {its}")


def kept(app: App) -> tuple[int, bool]:
    """Return how many chunks there are of the one file, and whether it is whole."""
    query = "SELECT count(position), bool_and(is_whole) FROM blobs LEFT JOIN blob_chunks USING (location)"
    with transaction(app.services.engine) as connection:
        count, is_whole = connection.execute(text(query)).one()
    return count, is_whole


def test_a_file_of_one_chunk_is_one_statement(app: App) -> None:
    """Neither BEGIN nor COMMIT nor a look at what is there is waited for."""
    seen: list[str] = []
    listener = lambda *its: seen.append(its[2])  # noqa: E731
    event.listen(app.services.engine, "before_cursor_execute", listener)
    stores = Stores(Settings().storage, app.services.engine)
    for _ in range(2):
        stores.put(fetched(b"glTF of one chunk"))
    event.remove(app.services.engine, "before_cursor_execute", listener)
    assert len(seen) == 2


def test_a_file_that_a_row_names_stays_for_ever(app: App, stores: Stores) -> None:
    """One job of two that made the same was deleted."""
    content = uuid4().bytes
    stored = stores.put(fetched(content))
    job_id = str(uuid4())
    with transaction(app.services.engine) as connection:
        connection.execute(
            text("INSERT INTO jobs (id, state, fingerprint) VALUES (:id, 'accepted', '')"), {"id": job_id}
        )
        connection.execute(
            text(
                "INSERT INTO outputs (job_id, name, media_type, bytes, sha256, location) "
                "VALUES (:id, 'model.glb', '', 16, '', :location)"
            ),
            {"id": job_id, "location": stored.location},
        )
    assert forget(app, stores) == 0
    assert b"".join(stores.read(row(stored))) == content


def test_an_object_that_vanished_is_written_again(app: App, s3: Mapping[str, str], stores: Stores) -> None:
    """A bucket's own rule, or a person, deleted it; the database still knows of it."""
    stored = stores.put(fetched(b"glTF and more"))
    if stored.location.startswith("objects"):
        stores.erase(stored.location)
        stores.put(fetched(b"glTF and more"))
    assert b"".join(stores.read(row(stored))) == b"glTF and more"


def test_an_object_that_vanished_stands_in_nobodys_way(app: App, stores: Stores) -> None:
    """What no row names is forgotten, whoever has deleted its bytes before."""
    stored = stores.put(fetched(uuid4().bytes))
    stores.erase(stored.location)
    assert forget(app, stores) == 1
    assert forget(app, stores) == 0


def test_what_a_store_does_not_let_go_is_tried_again_a_day_later(app: App, stores: Stores) -> None:
    """It is known still, and holds nobody up."""
    stored = [stores.put(fetched(uuid4().bytes)) for _ in range(3)]
    asked: list[str] = []

    def erase_one(location: str) -> bool:
        asked.append(location)
        return len(asked) == 1

    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE blobs SET loose_since = loose_since - interval '25 hours'"))
        looked_at = blobs.forget_loose(connection, blobs.loose(DAY), 10, erase_one)
    assert (looked_at, len(asked)) == (3, 3)
    assert forget(app, stores) == 2, "the first is gone, the others waited for a day"
    assert {each.location for each in stored} == set(asked)


def test_files_are_walked_through_again_and_again(app: App, stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page in each transaction, in the order of their places; after the last comes the first."""
    monkeypatch.setattr(blobs, "PAGE", 2)
    for number in range(5):
        stores.put(fetched(bytes([number]) * 9))
    found = [forget(app, stores) for _ in range(3)]
    assert (sum(found), found[0]) == (5, 2)
    stores.put(fetched(b"glTF"))
    assert sum(forget(app, stores) for _ in range(2)) == 1


def test_a_store_is_tried_out(stores: Stores) -> None:
    """As `sam3d doctor` does, again and again."""
    stores.try_out()
    stores.try_out()


def test_a_store_that_is_away_says_so_without_its_address(
    app: App, s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is not there; its answer is nobody's to read but its code."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    stores = Stores(Settings().having(SAM3D_STORE_URL="s3://no-such-bucket/m4rk3r").storage, app.services.engine)
    with pytest.raises(StoreUnavailable) as refused:
        stores.put(fetched(b"glTF"))
    assert "NoSuchBucket" in str(refused.value) or "404" in str(refused.value)
    assert "m4rk3r" not in repr(refused.value)
    assert refused.value.__suppress_context__


def test_a_file_in_an_object_store_needs_it_set(app: App) -> None:
    """The setting was taken back, and files are left there."""
    stores = Stores(Settings().storage, app.services.engine)
    with pytest.raises(ConfigurationError, match="SAM3D_STORE_URL"):
        stores.read({"id": 1, "location": "objects:output/sha256/ab/ab"})
