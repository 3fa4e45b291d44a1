"""A model of any size goes through a worker that stays small, into each store and out again."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.deployment import Service, start_worker
from tests.support.judge import Judge
from tests.support.services.bucket import new_bucket, running_s3
from worker.simulator import Simulator

MIB = int(os.environ.get("TEST_LARGE_MIB", "64"))
"""Size of the model; one of 300 takes two cores a minute in each store."""

WORKER_MIB = 200


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    """Provide an S3."""
    with running_s3() as environment:
        yield environment


def peak_memory(pid: int) -> float:
    """Return the most memory that a process ever had, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


@pytest.mark.parametrize("store", ["database", "s3", "folder"])
def test_a_large_model_goes_through_a_small_worker(
    deployment: Service, judge: Judge, simulator: Simulator, s3: Mapping[str, str], tmp_path: Path, store: str
) -> None:
    """What comes out has the SHA-256 of what the vendor made, whatever cut the download on its way."""
    urls = {"s3": new_bucket(s3), "folder": f"file://{tmp_path}/store"}
    if store in urls:
        deployment.environment |= {**s3, "SAM3D_STORE_URL": urls[store]}
    simulator.update(run_time=0, output_padding_bytes=MIB * 2**20)
    simulator.add_fault(call="download", kind="truncate", count=3)
    start_worker(deployment, SAM3D_DOWNLOAD_DEADLINE="200", SAM3D_LEASE_MARGIN="60")
    worker = deployment.processes["worker"]
    (job_id,) = judge.submit(1)
    judge.await_states([job_id], "succeeded", within=240)

    (stored,) = judge.rows("SELECT bytes, sha256, location FROM outputs WHERE name = 'model.glb'")
    assert stored["location"].startswith("database:" if store == "database" else "objects:")
    deployment.run("output", job_id, "--out", str(tmp_path))
    with (tmp_path / "model.glb").open("rb") as made:
        assert hashlib.file_digest(made, "sha256").hexdigest() == stored["sha256"]
    assert stored["bytes"] > MIB * 2**20
    peak = peak_memory(worker.pid)
    print(f"{store}: {stored['bytes'] / 2**20:.0f} MiB through a worker of at most {peak:.0f} MiB")
    assert peak < WORKER_MIB
