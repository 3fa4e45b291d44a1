"""Where the files of a run end up: in the store that is set, or, where none is sound, as the evidence."""

from pathlib import Path

import pytest

from tests.support.budgeted import Budgeted
from tests.support.in_process import wait_until_due
from tests.support.requests import rows
from worker.app import App
from worker.outputs.stores import Stores
from worker.rules.lifecycle import FollowUp
from worker.simulator import Simulator
from worker.work.collecting import BROKEN_FILES, EXTRA_TRIES
from worker.work.executor import execute

NOBODY = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "m4rk3r",
    "AWS_SECRET_ACCESS_KEY": "m4rk3r",
    "AWS_REGION": "eu-central-1",
}


def fetch(app: App, job: FollowUp) -> FollowUp | None:
    """Fetch a job's files, when it is due."""
    wait_until_due(app, job)
    return execute(app.services, job.step, job.ticket)


def test_a_store_that_is_away_drops_no_file(
    app: App,
    budgeted: Budgeted,
    completed_job: FollowUp,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job waits for it, however often it tries, and says what for; then every file is kept, and paid once."""
    simulator.update(extra_files=("scene.ply",), output_shape="list")
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    away, there = (budgeted(None, SAM3D_STORE_URL=url) for url in ("s3://bucket/models", f"file://{tmp_path}/models"))
    rows(app, "UPDATE jobs SET attempts = :tries RETURNING id", tries=EXTRA_TRIES)
    waiting = fetch(away, completed_job)
    assert waiting
    [job] = rows(app, "SELECT state, waits_for, kept FROM jobs")
    assert job["state"] == "fetching"
    assert "not stored" in job["waits_for"]
    assert "127.0.0.1" not in job["waits_for"]
    assert simulator.requests()["calls"]["download"] == {"200": 1}, "nothing is fetched for a store that is away"

    assert fetch(there, waiting) is None
    assert rows(app, "SELECT state, missing FROM jobs") == [{"state": "succeeded", "missing": []}]
    made = rows(app, "SELECT id, name, sha256, location FROM outputs ORDER BY name")
    assert [each["name"] for each in made] == ["model.glb", "splat.ply"]
    assert all(each["location"].startswith("objects:output/sha256/") for each in made)
    assert len(simulator.ledger()) == 1


def test_a_run_without_a_sound_model_leaves_its_evidence(
    app: App, completed_job: FollowUp, simulator: Simulator
) -> None:
    """What came is kept and announced with what it cost."""
    rows(app, "UPDATE jobs SET broken_files = :tries RETURNING id", tries=BROKEN_FILES - 1)
    simulator.add_fault(call="download", kind="wrong_magic")
    assert fetch(app, completed_job) is None
    assert rows(app, "SELECT state, error_code FROM jobs") == [{"state": "failed", "error_code": "output_invalid"}]
    [evidence] = rows(app, "SELECT id, name, bytes, location FROM outputs")
    assert (evidence["name"], evidence["location"].partition("/")[0]) == ("broken.glb", "database:evidence")
    content = b"".join(Stores(app.services.settings.storage, app.services.engine).read(evidence))
    assert (len(content), content[:4]) == (evidence["bytes"], b"oops")
    [event] = rows(app, "SELECT payload FROM events WHERE type = 'sam3d.reconstruction.failed'")
    assert [each["name"] for each in event["payload"]["outputs"]] == ["broken.glb"]
    assert event["payload"]["cost"]["amount"] == 0.06


def test_what_was_found_in_a_model_is_told(app: App, completed_job: FollowUp) -> None:
    """In its row and in the event."""
    assert fetch(app, completed_job) is None
    [made] = rows(app, "SELECT geometry FROM outputs")
    [event] = rows(app, "SELECT payload FROM events WHERE type = 'sam3d.reconstruction.succeeded'")
    assert event["payload"]["outputs"][0]["geometry"] == made["geometry"]
    assert made["geometry"]["triangles"] > 1000
    assert made["geometry"]["has_textures"]
