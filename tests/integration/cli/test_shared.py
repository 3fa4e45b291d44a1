"""What a person sees of jobs that share a run, and of the run."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.in_process import advance
from tests.support.services.zygote import Zygote
from tests.support.sharing import drive, send_all
from worker.app import App
from worker.work.cancelling import cancel

Sam3d = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sam3d(sharing: App, zygote: Zygote) -> Sam3d:
    """Provide the command line of a person who has the database alone."""
    url = sharing.services.settings.database.url
    return lambda *arguments: zygote.run(*arguments, SAM3D_DATABASE_URL=url, SAM3D_BROKER_URL="amqp://127.0.0.1:1//")


def values_of(printed: str) -> dict[str, str]:
    """Return the values that a job begins with, by their names."""
    return {line[:19].strip(): line[20:] for line in printed.partition("\n\n")[0].splitlines()}


def test_each_job_names_its_run_and_the_run_its_jobs(sharing: App, sam3d: Sam3d) -> None:
    """While it goes on and afterwards; the photo is shown of each, the submit of the run."""
    sharers, submit = send_all(sharing, 2)
    run = submit.ticket.job_id
    poll = advance(sharing, submit)
    job = values_of(sam3d("job", sharers[0]).stdout)
    assert (job["state"], job["shares"]) == ("sharing", run)
    assert job["waits for"] == "the run that it shares"
    assert job["photo"].startswith("image/png")
    cancel(sharing.services, sharers[1])
    drive(sharing, poll)
    shown = json.loads(sam3d("job", run, "--json").stdout)
    assert shown["sharers"] == [{"id": sharers[0], "state": "succeeded"}, {"id": sharers[1], "state": "cancelled"}]
    assert f"{sharers[0]}  succeeded" in sam3d("job", run).stdout


def test_a_list_tells_runs_from_jobs(sharing: App, sam3d: Sam3d) -> None:
    """A run is no job of anybody's. A line each: no id is among the words."""
    _, submit = send_all(sharing, 2)
    assert len(sam3d("jobs").stdout.splitlines()) == 4
    drive(sharing, submit)
    listed = {row["id"]: row["is_shared"] for row in json.loads(sam3d("jobs", "--json").stdout)}
    assert [job_id for job_id, is_shared in listed.items() if is_shared] == [submit.ticket.job_id]
    [line] = [each for each in sam3d("jobs").stdout.splitlines() if submit.ticket.job_id in each]
    assert line.endswith("a run that jobs share")


def test_a_report_has_each_model_once_for_each_job(sharing: App, sam3d: Sam3d, tmp_path: Path) -> None:
    """And not once more for the run; each has its files and links of its own."""
    sharers, submit = send_all(sharing, 2)
    drive(sharing, submit)
    done = sam3d("report", "--out", str(tmp_path / "jobs.html"))
    assert done.stderr.startswith("2 jobs, 2 models")
    for job_id in (*sharers, submit.ticket.job_id):
        written = sam3d("output", job_id, "--out", str(tmp_path / job_id))
        assert written.stdout.split() == [str(tmp_path / job_id / "model.glb")]
