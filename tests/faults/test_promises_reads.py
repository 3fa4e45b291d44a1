"""Reads that are odd for minutes, with real workers: no paid result is thrown away, and nothing is fetched twice."""

from pathlib import PurePath

import pytest

from tests.support.deployment import Service
from tests.support.judge import Judge
from tests.support.promises import logged_calls, now, size, start_fleet
from tests.support.waiting import wait_until
from worker.simulator import Simulator

JOBS = size("TEST_READS", 12)
A_MINUTE = size("TEST_READS_SECONDS", 1)
"""A minute of the vendor's in seconds: 60 in full."""
EXTRA = ("splat.ply", "scene.obj", "poses.json", "preview.png", "model.usdz")


@pytest.mark.parametrize("history", [True, False], ids=["with a history", "without a history"])
def test_late_answers_end_no_job(deployment: Service, simulator: Simulator, judge: Judge, *, history: bool) -> None:
    """`/status` 404 for ten minutes, ids known and outputs named a minute late, five more files: all succeed."""
    late = {"known_after_seconds": A_MINUTE, "output_delay_seconds": A_MINUTE}
    simulator.update(run_time=0.5, extra_files=EXTRA, history_available=history, credits=1e6, **late)
    if history:
        simulator.update(history_delay_seconds=A_MINUTE, history_output_delay_seconds=A_MINUTE)
    simulator.add_fault(call="status", kind="gone")
    start_fleet(deployment)
    ids = judge.submit(JOBS)
    began = now(judge)
    judge.await_states(ids, "processing", "fetching", "succeeded")
    wait_until(lambda: now(judge) - began > 10 * A_MINUTE, "ten minutes of the vendor's", within=900)
    assert judge.states(ids)["failed"] == 0
    simulator.clear_faults()
    judge.check(ids, within=240)
    _check_files(judge, ids)
    twice = {path: n for path, n in logged_calls(simulator, "download", "200").items() if n > 1}
    assert not twice, "a file that was whole was downloaded again"


def test_an_odd_file_beside_the_model_harms_nothing(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """A file that breaks off is fetched again, and the others, which were whole, are not."""
    simulator.update(run_time=0.5, extra_files=EXTRA, output_shape="list")
    start_fleet(deployment, workers=1)
    simulator.add_fault(call="download", kind="truncate", skip=4, count=1)
    ids = judge.submit(2)
    judge.check(ids)
    _check_files(judge, ids)
    twice = {path: n for path, n in logged_calls(simulator, "download", "200").items() if n > 1}
    assert not twice, "a file that was whole was downloaded again"


def _check_files(judge: Judge, ids: list[str]) -> None:
    """Check that each job has its model and a file of each further kind."""
    rows = judge.rows("SELECT job_id::text, name FROM outputs")
    for job_id in ids:
        kinds = {PurePath(row["name"]).suffix for row in rows if row["job_id"] == job_id}
        assert kinds == {".glb", *(PurePath(name).suffix for name in EXTRA)}, f"a file of {job_id} is missing"
