"""Outputs in whatever shape a result names them: one paid run, and every file is kept as it was served."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.support.shop import KEY, MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.outputs.stores import Stores
from worker.simulator import Simulator

__all__ = ["running_simulator", "shop", "simulator"]

SECOND = timedelta(seconds=1)
PROMPT = "a cat"

KINDS: Mapping[str, tuple[str, str]] = {
    "model.glb": ("model.glb", "model/gltf-binary"),
    "splat.ply": ("splat.ply", "application/ply"),
    "artifacts.zip": ("artifacts.zip", "application/zip"),
    "preview.png": ("image.png", "image/png"),
    "poses.json": ("facts.json", "application/json"),
    "readme.txt": ("notes.txt", "text/plain"),
    "weights.dat": ("file.bin", "application/octet-stream"),
    "scene.obj": ("model.obj", "model/obj"),
    "scene.usdz": ("model.usdz", "model/vnd.usdz+zip"),
    "turn.mp4": ("film.mp4", "video/mp4"),
}
"""Our name and media type of each file, by the vendor's name for it: what its bytes are, whatever it was served as."""

SPLAT_AND_POSES = ("splat.ply", "poses.json")
SCENE_AND_FILM = ("scene.obj", "scene.usdz", "turn.mp4")
FIVE_AND_ONE = ("splat.ply", "preview.png", "poses.json", "readme.txt", "weights.dat")
"""Beside the ZIP, which a run makes that was asked for artifacts."""

Files = Mapping[str, str]
"""Addresses by the vendor's names."""


@dataclass(frozen=True)
class Shape:
    """How a result names its files: what is set on the vendor, or a body in place of its own."""

    extras: Sequence[str] = ()
    has_zip: bool = False
    knobs: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[Files], Mapping[str, Any]] | None = None
    silence: timedelta = timedelta(0)

    @property
    def files(self) -> set[str]:
        """The vendor's names of all that is made."""
        return {"model.glb", *self.extras, *(["artifacts.zip"] if self.has_zip else [])}


def in_objects(files: Files) -> Mapping[str, Any]:
    """Name files in objects within lists within objects, beside what is no address."""
    mesh = {"format": "glb", "bytes": 5, "file": {"url": files["model.glb"]}}
    found = [{"label": "cat", "mesh": mesh, "splat": files["splat.ply"]}, {"label": None, "mesh": None}]
    return {"output": {"views": [{"objects": found, "scene": {"poses": files["poses.json"]}}], "version": 2}}


SILENT = {"output_delay_seconds": 60}
LIST, OBJECT = {"output_shape": "list"}, {"output_shape": "object"}

SHAPES: Mapping[str, Shape] = {
    "a URL": Shape(),
    "a list of URLs": Shape(SCENE_AND_FILM, knobs=LIST),
    "an object of URLs": Shape(SCENE_AND_FILM, knobs=OBJECT),
    "an object with nested URLs": Shape(SPLAT_AND_POSES, body=in_objects),
    "a GLB, a PLY and poses": Shape(SPLAT_AND_POSES),
    "none for a minute, and then one": Shape(knobs=SILENT, silence=MINUTE),
    "five kinds of files and bytes of none, in a list": Shape(FIVE_AND_ONE, has_zip=True, knobs=LIST),
    "five kinds of files and bytes of none, in an object": Shape(FIVE_AND_ONE, has_zip=True, knobs=OBJECT),
    "five kinds of files and bytes of none, beside a URL": Shape(FIVE_AND_ONE, has_zip=True),
}


@pytest.fixture
def vendor(simulator: Simulator) -> Iterator[httpx.Client]:
    """Provide what the vendor's files are read with, by nothing of ours."""
    with httpx.Client(base_url=simulator.url, headers={"x-api-key": KEY}) as client:
        yield client


def result_of(shop: Shop, job_id: str, vendor: httpx.Client) -> Mapping[str, Any]:
    """Ask for the vendor's own result, with all of its files in a list."""
    shop.simulator.update(output_shape="list")
    body: Mapping[str, Any] = vendor.get(f"/v2/requests/{shop.job(job_id)['request_id']}").json()
    return body


def files_in(result: Mapping[str, Any]) -> Files:
    """Return the addresses of a result by the names that they end in."""
    return {address.rpartition("/")[2]: address for address in result["output"]}


def run(shop: Shop, shape: Shape, vendor: httpx.Client) -> str:
    """Let a job be done by a vendor of this shape; return its id. The history, which names files too, is no help."""
    shop.simulator.update(extra_files=shape.extras, history_available=False, **shape.knobs)
    job_id = shop.accept(PROMPT, include_artifacts=shape.has_zip)
    shop.live(SECOND)
    if shape.body:
        shop.skip(RUN)
        result = result_of(shop, job_id, vendor)
        body = {**result, **shape.body(files_in(result))}
        shop.simulator.add_fault(call="result", kind="status", http_status=200, body=body)
    shop.live(5 * MINUTE)
    shop.simulator.clear_faults()
    return job_id


def stored(shop: Shop, job_id: str) -> list[tuple[str, str, int, str, bytes]]:
    """Return what is kept of a job: name, media type, size, digest, and the bytes as the store gives them."""
    rows = shop.rows("SELECT * FROM outputs WHERE job_id = CAST(:id AS uuid)", id=job_id)
    stores = Stores(shop.services.settings.storage, shop.services.engine)
    told = [(row["name"], row["media_type"], row["bytes"], row["sha256"], b"".join(stores.read(row))) for row in rows]
    return sorted(told)


def served(shop: Shop, job_id: str, vendor: httpx.Client) -> list[tuple[str, str, int, str, bytes]]:
    """Return the same of what the vendor serves."""
    addresses = files_in(result_of(shop, job_id, vendor))
    contents = {name: vendor.get(address).content for name, address in addresses.items()}
    told = [(*KINDS[name], len(each), hashlib.sha256(each).hexdigest(), each) for name, each in contents.items()]
    return sorted(told)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_file_is_kept_in_whatever_shape_it_is_named(shop: Shop, vendor: httpx.Client, shape: Shape) -> None:
    """Each is downloaded once, stored as it was served and announced; none is missing, and one run is paid."""
    job_id = run(shop, shape, vendor)
    job = shop.job(job_id)
    assert (job["state"], job["missing"]) == ("succeeded", [])
    assert shop.calls("download") == len(shape.files)
    made, kept = served(shop, job_id, vendor), stored(shop, job_id)
    assert kept == made
    assert {name for name, *_ in kept} == {KINDS[name][0] for name in shape.files}
    [event] = shop.rows("SELECT payload FROM events WHERE type = 'sam3d.reconstruction.succeeded'")
    told = [(each["name"], each["media_type"], each["bytes"], each["sha256"]) for each in event["payload"]["outputs"]]
    assert sorted(told) == [each[:4] for each in made]
    assert (shop.calls("submit"), shop.paid(PROMPT), len(shop.simulator.ledger())) == (1, 1, 1)
    assert job["finished_at"] - job["submitted_at"] >= RUN + shape.silence
