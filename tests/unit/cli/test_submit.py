"""What is done with the outcomes of jobs that were sent."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from worker.cli.submit import _download
from worker.client import JobEvent
from worker.rules.lifecycle import EventType


def test_files_of_several_jobs_have_folders_of_their_own(tmp_path: Path) -> None:
    """Also while only one of them has ended: the others' files, fetched later, would take the place of its."""
    client: Any = SimpleNamespace(download=lambda _, folder: [folder / "model.glb"])
    ended = {"a": JobEvent("e", EventType.SUCCEEDED, "a", {})}
    assert _download(client, ended, tmp_path, sent=2) == {"a": [tmp_path / "a" / "model.glb"]}
    assert _download(client, ended, tmp_path, sent=1) == {"a": [tmp_path / "model.glb"]}
