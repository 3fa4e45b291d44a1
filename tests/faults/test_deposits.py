"""A process that dies between the object store and the database: its photo is there, and no row names it yet."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.addressed import bucket, objects_in, s3
from tests.support.deployment import INTERVALS, Service
from tests.support.deployment import deployed as deployed_on
from tests.support.fleet import Fleet
from tests.support.judge import Judge
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.simulator import Simulator

__all__ = ["bucket", "s3"]


@pytest.fixture
def deployment(
    vhost_url: str,
    migrated_url: str,
    simulator: Simulator,
    zygote: Zygote,
    tmp_path: Path,
    s3: Mapping[str, str],
    bucket: str,
) -> Iterator[Service]:
    """Provide a deployment that sends addresses, and keeps its photos: else one goes soon after its job has ended."""
    settings = {"SAM3D_STORE_URL": bucket, "SAM3D_INPUT_ADDRESSES": "on", "SAM3D_KEEP_INPUTS": "true"}
    more = {**INTERVALS, **s3, **settings}
    with deployed_on(vhost_url, migrated_url, simulator, tmp_path, zygote, **more) as prepared:
        yield prepared


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide its processes; none runs yet."""
    with Fleet(deployment, zygote) as processes:
        yield processes


def loose(judge: Judge) -> list[bool]:
    """Tell of each photo in the store whether no row names it."""
    named = "EXISTS (SELECT FROM inputs WHERE inputs.location = blobs.location)"
    query = f"SELECT NOT {named} AS is_loose FROM blobs WHERE location ^@ 'objects:input/'"
    return [row["is_loose"] for row in judge.rows(query)]


def test_killed_between_the_store_and_the_row(
    fleet: Fleet, judge: Judge, deployment: Service, s3: Mapping[str, str], bucket: str, simulator: Simulator
) -> None:
    """Whoever has the message next finds the photo there; one job, one run, one photo."""
    fleet.start("armed", "worker", "--concurrency", "1", SAM3D_FAILPOINTS="accept.stored=kill")
    fleet.await_logged("worker_ready", "armed")
    ids = judge.submit(1)
    fleet.await_struck(["armed"])
    assert judge.rows("SELECT id FROM jobs") == []
    assert (loose(judge), len(objects_in(s3, bucket))) == ([True], 1)

    fleet.workers("worker")
    fleet.start("scheduler", "scheduler")
    judge.await_states(ids, "succeeded")
    assert (loose(judge), len(simulator.ledger())) == ([False], 1)
    assert [key for key in objects_in(s3, bucket) if "/input/" in key and key.endswith(".png")] != []
    judge.check_logs()
    assert not any("X-Amz" in path.read_text() for path in deployment.logs.glob("*.log"))


def test_a_photo_whose_request_never_came_again(fleet: Fleet, judge: Judge, s3: Mapping[str, str], bucket: str) -> None:
    """The broker lost it as well: a day later nobody has its photo any more."""
    fleet.start("armed", "worker", "--concurrency", "1", "--steps", "accept", SAM3D_FAILPOINTS="accept.stored=kill")
    fleet.await_logged("worker_ready", "armed")
    judge.submit(1)
    fleet.await_struck(["armed"])
    judge.rows("UPDATE blobs SET loose_since = loose_since - interval '25 hours' RETURNING 1")
    fleet.start("scheduler", "scheduler")
    wait_until(lambda: loose(judge) == [], "it is forgotten")
    assert objects_in(s3, bucket) == {}
