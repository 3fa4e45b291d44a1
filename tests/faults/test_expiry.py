"""Workers that were down for most of the vendor's hour, and longer: the oldest go first, the expired are rescued."""

from collections.abc import Sequence
from datetime import timedelta

from tests.support.deployment import Service, start_all
from tests.support.judge import Judge
from worker.simulator import Simulator

BATCH = 10


def _set_ahead(judge: Judge, simulator: Simulator, minutes: int, since: int = 0) -> None:
    """Move the vendor's clock and the database's from some minutes ahead of the machine's to others."""
    simulator.advance(timedelta(minutes=minutes - since))
    judge.rows(
        "CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE "
        f"AS 'SELECT clock_timestamp() + interval ''{minutes} minutes'''"
    )


def _submit_and_stop(deployment: Service, judge: Judge, name: str) -> list[str]:
    """Submit some jobs with a worker that does nothing else, and end it."""
    deployment.start(name, "worker", "--steps", "accept,submit")
    ids = judge.submit(BATCH)
    judge.await_states(ids, "processing")
    deployment.processes[name].terminate()
    deployment.processes[name].wait()
    return ids


def _order_of_results(judge: Judge, simulator: Simulator, ids: Sequence[str]) -> list[str]:
    """Return the jobs in the order in which their results were read."""
    rows = judge.rows("SELECT id::text, request_id FROM jobs WHERE id = ANY(%s::uuid[])", list(ids))
    jobs = {row["request_id"]: row["id"] for row in rows}
    calls = simulator.requests(with_log=True)["log"]
    return [jobs[call["request_id"]] for call in calls if call["call"] == "result"]


def test_what_expires_first_is_fetched_first(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """Fifty minutes without workers: of all that waits, the oldest runs are polled and fetched first."""
    old = _submit_and_stop(deployment, judge, "first")
    _set_ahead(judge, simulator, 49)
    young = _submit_and_stop(deployment, judge, "second")
    _set_ahead(judge, simulator, 50, since=49)
    deployment.start("scheduler", "scheduler")
    deployment.start("worker", "worker", "--concurrency", "1")
    judge.check([*old, *young])
    order = _order_of_results(judge, simulator, [*old, *young])
    assert set(order[:BATCH]) == set(old)


def test_what_has_expired_is_rescued(deployment: Service, simulator: Simulator, judge: Judge) -> None:
    """A day without workers: the vendor has forgotten the runs, its history lists them, the files still live."""
    ids = _submit_and_stop(deployment, judge, "first")
    _set_ahead(judge, simulator, 24 * 60)
    start_all(deployment)
    judge.check(ids)
    assert simulator.requests()["calls"]["status"].keys() == {"404"}
