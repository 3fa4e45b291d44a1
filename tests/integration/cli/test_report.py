"""A page of the jobs that a database has, and pictures of their models."""

import base64
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import text

from tests.support.services.zygote import Zygote
from worker.app import App
from worker.database.engine import transaction
from worker.rules.lifecycle import FollowUp
from worker.work.executor import execute

Sam3d = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sam3d(app: App, zygote: Zygote) -> Sam3d:
    """Provide the command line of a person who has the database alone."""
    environment: Mapping[str, str] = {
        "SAM3D_DATABASE_URL": app.services.settings.database.url,
        "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//",
    }
    return lambda *arguments: zygote.run(*arguments, **environment)


@pytest.fixture
def job_id(app: App, completed_job: FollowUp) -> str:
    """Provide a job that has its model, and a hostile word of its sender."""
    execute(app.services, completed_job.step, completed_job.ticket)
    change(app, "UPDATE jobs SET idempotency_key = '</script><img onerror=x>'")
    return completed_job.ticket.job_id


def change(app: App, statement: str) -> None:
    """Write into the database."""
    with transaction(app.services.engine) as connection:
        connection.execute(text(statement))


def models_in(page: Path) -> list[bytes]:
    """Return the models that a page has inside."""
    blocks = re.findall(r'<script type="text/plain" id="model-[0-9]+">(.*?)</script>', page.read_text())
    return [base64.b64decode(each) for each in blocks]


def test_a_page_has_the_jobs_and_their_models(sam3d: Sam3d, job_id: str, tmp_path: Path) -> None:
    """As they are stored; in a folder that is made for it, and over the page of yesterday."""
    page = tmp_path / "new" / "jobs.html"
    for _ in range(2):
        done = sam3d("report", "--out", str(page))
        assert (done.returncode, done.stdout) == (0, f"{page}\n")
        assert done.stderr == "1 jobs, 1 models; open it in a browser:\n"
    assert list(page.parent.iterdir()) == [page]
    sam3d("output", job_id, "--out", str(tmp_path))
    assert models_in(page) == [(tmp_path / "model.glb").read_bytes()]
    assert f'<tr id="job-{job_id}">' in page.read_text()
    assert "</script><img" not in page.read_text()
    assert json.loads(sam3d("report", "--out", str(page), "--json").stdout) == {
        "path": str(page), "jobs": 1, "models": 1,
    }  # fmt: skip


def test_a_model_that_was_changed_is_left_out(app: App, sam3d: Sam3d, job_id: str, tmp_path: Path) -> None:
    """The page is made without it, and it is told."""
    change(app, "UPDATE blob_chunks SET content = 'glTF'")
    done = sam3d("report", "--out", str(tmp_path / "jobs.html"))
    assert done.returncode == 0
    assert "is left out: what was read is not what was stored" in done.stderr
    assert models_in(tmp_path / "jobs.html") == []
    assert job_id in (tmp_path / "jobs.html").read_text()


def test_a_report_of_nothing_is_a_page(app: App, sam3d: Sam3d, tmp_path: Path) -> None:
    """Which says so; and where it can't be written, that is one line."""
    assert sam3d("report", "--out", str(tmp_path / "jobs.html")).returncode == 0
    assert "No jobs, as of" in (tmp_path / "jobs.html").read_text()
    refused = sam3d("report", "--out", "/proc/none/jobs.html")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("sam3d: `--out` can't be written to")


def test_an_output_gets_a_picture(sam3d: Sam3d, job_id: str, tmp_path: Path) -> None:
    """Beside it, under its name."""
    done = sam3d("output", job_id, "--out", str(tmp_path), "--preview")
    assert done.stdout.splitlines() == [f"{tmp_path}/model.glb", f"{tmp_path}/model.png"]
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.format == "PNG"
