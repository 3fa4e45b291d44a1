"""What is stored, and what would go: ``prune``."""

import json
import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.requests import rows
from tests.support.services.zygote import Zygote
from worker.app import App
from worker.rules.lifecycle import FollowUp
from worker.work.executor import execute

Sam3d = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sam3d(app: App, completed_job: FollowUp, zygote: Zygote) -> Sam3d:
    """Provide the command line on a database that has a job which succeeded 40 days ago, with its model."""
    execute(app.services, completed_job.step, completed_job.ticket)
    rows(app, "UPDATE jobs SET finished_at = finished_at - interval '40 days' RETURNING id")
    url = app.services.settings.database.url
    return lambda *arguments: zygote.run(*arguments, SAM3D_DATABASE_URL=url, SAM3D_BROKER_URL="amqp://127.0.0.1:1//")


def old(sam3d: Sam3d, *arguments: str) -> dict[str, Any]:
    """Return how many of each class are old."""
    printed = json.loads(sam3d("prune", *arguments, "--json").stdout)
    assert printed["stored"][0]["store"] == "database:output"
    assert printed["stored"][0]["files"] == 1
    return {each["class"]: each["old"] for each in printed["classes"] if each["old"]}


def test_a_dry_run_says_what_would_go_and_deletes_nothing(app: App, sam3d: Sam3d) -> None:
    """And how much is stored."""
    assert old(sam3d, "--dry-run") == {"jobs": 1, "inputs": 1}
    assert len(rows(app, "SELECT id FROM jobs")) == 1
    shown = sam3d("prune", "--dry-run").stdout
    assert "Nothing was deleted." in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_old_goes(app: App, sam3d: Sam3d) -> None:
    """At once, as the scheduler would do it little by little; the bytes of its files a day later."""
    assert old(sam3d) == {"jobs": 1, "inputs": 1}
    assert rows(app, "SELECT id FROM jobs") == []
    assert old(sam3d, "--dry-run") == {}
    rows(app, "UPDATE blobs SET loose_since = loose_since - :age RETURNING location", age=timedelta(hours=25))
    assert old(sam3d) == {"files": 1}
    assert rows(app, "SELECT location FROM blobs") == []
