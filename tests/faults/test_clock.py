"""Clocks that are wrong: the database's decides about leases, due times and sweeps."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.deployment import Service, start_worker
from tests.support.judge import Judge
from tests.support.waiting import wait_until

SHIM = Path(__file__).parent / "shim"
WRONG = timedelta(minutes=10)


def _clock(wrong_by: timedelta) -> dict[str, str]:
    """Return what makes a process read another time."""
    return {"PYTHONPATH": f"{SHIM}:{SHIM.parents[2]}", "SHIM_CLOCK_SECONDS": str(wrong_by.total_seconds())}


def test_wrong_clocks_change_nothing(deployment: Service, judge: Judge) -> None:
    """A worker that is ten minutes ahead, one that is behind, a scheduler that is ahead: all is as usual."""
    deployment.start("scheduler", "scheduler", **_clock(WRONG))
    start_worker(deployment, "ahead", **_clock(WRONG))
    start_worker(deployment, "behind", SAM3D_FAILPOINTS="poll.taken=kill:5", **_clock(-WRONG))
    for name, expected in (("ahead", WRONG), ("behind", -WRONG)):
        assert abs(_offset(deployment, name) - expected) < timedelta(minutes=1)

    ids = judge.submit(30)
    wait_until(lambda: deployment.processes["behind"].poll() is not None, "a worker leaves a lease behind")
    start_worker(deployment, "behind", **_clock(-WRONG))
    judge.check(ids)

    far = "id = ANY(%s::uuid[]) AND (finished_at - accepted_at > interval '2 min' OR due_at > now() + interval '2 min')"
    assert not judge.rows(f"SELECT id FROM jobs WHERE {far}", ids)
    assert not judge.rows("SELECT id FROM events WHERE abs(extract(epoch FROM occurred_at - now())) > 300")


def _offset(deployment: Service, name: str) -> timedelta:
    """Return by how much the clock of a process is wrong, by what it logged last."""
    last = json.loads(deployment.log_of(name).splitlines()[-1])
    return datetime.fromisoformat(last["timestamp"]) - datetime.now(UTC)
