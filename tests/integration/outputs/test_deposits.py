"""Photos that are put into the object store, and addresses that are tried out."""

from collections.abc import Mapping
from hashlib import sha256
from uuid import uuid4

import httpx
import pytest

from tests.support.addressed import app, bucket, objects_in, s3
from tests.support.budgeted import photo
from tests.support.in_process import PHOTO
from tests.support.requests import end, request, rows, send
from worker.app import App
from worker.errors import ConfigurationError, RetryRefused, StoreUnavailable
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.outputs.deposits import PAUSE, Deposit, Deposits
from worker.outputs.reaching import require_fetched, require_public
from worker.outputs.stores import Stores
from worker.rules.presigned import LIFETIME, mark_of_place
from worker.upkeep.prune import prune
from worker.work.retrying import retry

__all__ = ["app", "bucket", "s3"]


def keep(app: App, content: bytes, media_type: str = "image/png") -> Deposit | None:
    """Put a photo."""
    return app.services.deposits.keep("image", content, media_type, sha256(content).hexdigest())


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_a_photo_is_at_its_address(app: App, kind: str) -> None:
    """For anybody who has it, with its type, and by an end that says it as well."""
    content = uuid4().bytes
    kept = keep(app, content, f"image/{kind}")
    assert kept
    address = app.services.stores.address(kept.location, LIFETIME)
    answer = httpx.get(address)
    assert (answer.content, answer.headers["content-type"]) == (content, f"image/{kind}")
    assert httpx.URL(address).path.endswith(f"{sha256(content).hexdigest()}.{kind}")
    assert kept.place == mark_of_place(address)


def test_the_same_photo_is_there_once(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """Of two requests, or of one that comes twice."""
    assert keep(app, b"photo") == keep(app, b"photo")
    assert len(objects_in(s3, bucket)) == 1


def test_a_store_that_is_away_is_asked_again_later(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute."""

    def away(*_: object) -> None:
        raise StoreUnavailable("The file was not stored.")

    with monkeypatch.context() as patched:
        patched.setattr(Stores, "put", away)
        assert keep(app, b"photo") is None
    assert keep(app, b"photo") is None
    app.services.deposits._asks_again_at -= PAUSE.total_seconds()
    assert keep(app, b"photo")


@pytest.mark.parametrize(
    "changes",
    [{"SAM3D_INPUT_ADDRESSES": "off"}, {"SAM3D_STORE_URL": None}, {"SAM3D_STORE_URL": "file:///nowhere"}],
    ids=["off", "no store", "a folder"],
)
def test_without_addresses_photos_stay_in_their_rows(app: App, changes: dict[str, object]) -> None:
    """Nothing is put anywhere."""
    settings = app.services.settings.having(**changes).storage
    deposits = Deposits(settings, Stores(settings, app.services.engine))
    assert deposits.keep("image", b"photo", "image/png", "ab") is None
    assert rows(app, "SELECT 1 FROM blobs") == []


# What `sam3d doctor` tries.


def test_addresses_are_tried_out(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """A file is had by its address alone, and nothing is left of it."""
    require_fetched(app.services.stores)
    assert objects_in(s3, bucket) == {}


def test_an_address_in_clear_is_told(app: App) -> None:
    """The vendor may refuse it, and whoever is between has the photo."""
    with pytest.raises(ConfigurationError, match="http://"):
        require_public(app.services.stores)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://127.0.0.1:1/x?m4rk3r", "private network"),
        ("https://localhost:1/x?m4rk3r", "private network"),
    ],
)
def test_an_address_in_a_private_network_is_told(
    app: App, monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    """A store of the cluster's own is not the internet's; nothing is connected."""
    monkeypatch.setattr(Stores, "address", lambda *_: address)
    with pytest.raises(ConfigurationError, match=told) as refused:
        require_public(app.services.stores)
    assert "m4rk3r" not in repr(refused.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [("http://127.0.0.1:1/x?m4rk3r", "ConnectError"), ("{s3}/no?m4rk3r", "404")],
    ids=["away", "gone"],
)
def test_an_address_that_is_not_answered_is_told(
    app: App, s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, address: str, told: str
) -> None:
    """Nobody is there, or it is not the file; what is signed is not told."""
    monkeypatch.setattr(Stores, "address", lambda *_: address.format(s3=s3["AWS_ENDPOINT_URL"]))
    with pytest.raises(ConfigurationError, match=told) as refused:
        require_fetched(app.services.stores)
    assert "m4rk3r" not in repr(refused.value)


# What becomes of it.


def photos(s3: Mapping[str, str], bucket: str) -> int:
    """Return how many photos are in the store."""
    return len(objects_in(s3, bucket))


def prune_twice(app: App) -> None:
    """Prune now, and a day later."""
    prune(app.services, lambda: None)
    rows(app, "UPDATE blobs SET loose_since = loose_since - interval '25 hours' RETURNING 1")
    prune(app.services, lambda: None)


@pytest.mark.parametrize("state", ["succeeded", "cancelled", "failed", "review", "accepted"])
def test_a_photo_goes_when_its_job_needs_it_no_more(app: App, s3: Mapping[str, str], bucket: str, state: str) -> None:
    """A day later, so that a run that goes on has it; of a job that may be submitted, or retried, it stays."""
    job_id = send(app)
    if state != "accepted":
        end(app, state, job_id)
    prune_twice(app)
    is_gone = state in {"succeeded", "cancelled"}
    assert photos(s3, bucket) == (0 if is_gone else 1)
    [row] = rows(app, "SELECT location IS NULL AS is_gone, bytes, length(sha256) AS digits FROM inputs")
    assert row == {"is_gone": is_gone, "bytes": len(photo()), "digits": 64}


def test_a_photo_that_another_job_has_as_well_stays(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """Each row counts; the last that goes takes it."""
    first, second = send(app), send(app)
    end(app, "succeeded", first)
    prune_twice(app)
    assert photos(s3, bucket) == 1
    prune_twice(app)
    assert photos(s3, bucket) == 1
    end(app, "succeeded", second)
    prune_twice(app)
    assert photos(s3, bucket) == 0


def test_a_photo_goes_with_its_job(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """Whoever deletes that, a person or a scheduler of the last release."""
    send(app)
    rows(app, "DELETE FROM jobs RETURNING 1")
    prune_twice(app)
    assert photos(s3, bucket) == 0


def test_a_retry_has_the_photo_as_well(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """It is not put again; when the failed job's is forgotten, the new one's stays."""
    first = send(app)
    end(app, "failed", first)
    new_id, _ = retry(app.services, first)
    rows(app, "UPDATE jobs SET finished_at = finished_at - interval '2 days' WHERE state = 'failed' RETURNING 1")
    prune_twice(app)
    kept = "SELECT CAST(job_id AS text) AS id FROM inputs WHERE location IS NOT NULL AND place IS NOT NULL"
    assert rows(app, kept) == [{"id": new_id}]
    assert photos(s3, bucket) == 1
    with pytest.raises(RetryRefused, match="was retried already"):
        retry(app.services, first)


def test_a_photo_that_is_gone_is_no_retry(app: App) -> None:
    """It is said so, as of one that was in its row."""
    first = send(app)
    end(app, "failed", first)
    rows(app, "UPDATE jobs SET finished_at = finished_at - interval '2 days' RETURNING 1")
    prune(app.services, lambda: None)
    with pytest.raises(RetryRefused, match="are kept no more"):
        retry(app.services, first)


def test_a_refused_request_leaves_no_photo(app: App, s3: Mapping[str, str], bucket: str) -> None:
    """Another payload under a job's identity was put before it was known for that."""
    job_id = send(app)
    other = {**request(seed=9), "image": prepare_request(PHOTO)["image"], "job_id": job_id}
    accept(app.services, other, derived_job_id("celery", "other"))
    assert photos(s3, bucket) == 2
    prune_twice(app)
    assert photos(s3, bucket) == 1
