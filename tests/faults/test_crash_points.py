"""A process killed or frozen between any two side effects costs time, and nothing else."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.crashes import ask_until_struck, await_out_of_doubt, strike_schedulers
from tests.support.deployment import Service
from tests.support.fleet import SCHEDULERS, WORKERS, Fleet, armed_scheduler, armed_worker
from tests.support.judge import Judge
from tests.support.receipt_keys import make_key
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Forked, Zygote
from tests.support.waiting import wait_until
from worker.database.locks import SCHEDULER_LOCK
from worker.outputs.sealing import public_key_of, why_not_genuine
from worker.rules.receipt import read
from worker.simulator import Simulator
from worker.telemetry.failpoints import FAILPOINTS

IN_DOUBT = {"submit.taken", "submit.answered"}
JOBS = 50
KEY = make_key()
MIDDLE_OF_A_POST = 777_777


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide the processes of a deployment that signs receipts; none runs yet."""
    deployment.environment["SAM3D_RECEIPT_KEY"] = KEY
    with Fleet(deployment, zygote) as processes:
        yield processes


def test_every_place_has_its_process() -> None:
    """None is left out, and none is made up."""
    assert {*WORKERS, *SCHEDULERS} == set(FAILPOINTS)


def test_killed_anywhere(fleet: Fleet, judge: Judge, simulator: Simulator) -> None:
    """What a killed process was at is done by another; a submit in doubt is found in the history, or is absent."""
    posting = kill_in_the_middle_of_a_post(fleet, judge, simulator)
    ids = posting + strike_workers(fleet, judge, "kill")
    await_left_behind(judge)
    ids += strike_schedulers(fleet, judge, simulator, "kill", assert_killed)
    for place in WORKERS:
        assert_killed(fleet.processes[armed_worker(place)])

    fleet.start("scheduler", "scheduler")
    await_out_of_doubt(judge, ids)
    judge.check(ids, within=60)
    check_receipts(judge)


def test_killed_anywhere_without_history(fleet: Fleet, judge: Judge, simulator: Simulator) -> None:
    """Only the jobs whose process died between intent and answer stop in review."""
    simulator.update(history_available=False)
    ids = strike_workers(fleet, judge, "kill")
    doubted = unanswered(fleet, judge)
    fleet.start("scheduler", "scheduler")

    judge.check(ids, review=doubted, within=60)
    assert judge.states(doubted) == {"review": len(doubted)}
    check_receipts(judge)


def test_frozen_anywhere(fleet: Fleet, judge: Judge, rabbitmq: PrivateRabbit, simulator: Simulator) -> None:
    """What a frozen process was at is done by another; once awake, it changes nothing."""
    ids = strike_workers(fleet, judge, "freeze")
    doubted = unanswered(fleet, judge)
    await_left_behind(judge)
    ids += strike_schedulers(fleet, judge, simulator, "freeze", lambda _: take_the_lead_away(judge))

    rabbitmq.close_connections()  # A broker notices within a minute that a process is frozen; this is that minute.
    fleet.start("scheduler", "scheduler")
    judge.await_states(set(ids) - doubted, "succeeded")
    ended = snapshot(judge)

    late = [*map(armed_worker, WORKERS), *map(armed_scheduler, SCHEDULERS)]
    assert set(fleet.end(*late)) == {0}
    await_out_of_doubt(judge, ids)
    judge.check(ids, within=60)
    assert {job: row for job, row in snapshot(judge).items() if job in ended} == ended
    check_receipts(judge)
    assert posts(simulator) == judge.rows("SELECT count(*) FROM jobs")[0]["count"]


def strike_workers(fleet: Fleet, judge: Judge, action: str) -> list[str]:
    """Submit jobs to armed workers beside healthy ones, and wait until each was struck at its place."""
    armed = fleet.arm_workers(action)
    fleet.split_workers()
    fleet.await_logged("worker_ready", *armed)
    ids = judge.submit(JOBS)
    ask_until_struck(fleet, judge, ids)
    fleet.await_struck(armed)
    return ids


def assert_killed(process: Forked) -> None:
    """Check that a process died of SIGKILL."""
    assert process.poll() == -9


def take_the_lead_away(judge: Judge) -> None:
    """End the database session under whose lock the frozen scheduler works, as a host that is gone would."""
    judge.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s", SCHEDULER_LOCK
    )


def posts(simulator: Simulator) -> int:
    """Count the submits that the vendor was sent."""
    counts: dict[str, int] = simulator.requests()["calls"]["submit"]
    return sum(counts.values())


def unanswered(fleet: Fleet, judge: Judge) -> set[str]:
    """Return the jobs to whose submit a process that was struck has no answer.

    Those at which it was struck then, and one that a slot was at while a thread beside it was struck.
    """
    struck = [f"%-{fleet.processes[armed_worker(place)].pid}" for place in WORKERS]
    query = "SELECT job_id::text FROM submissions WHERE answered_at IS NULL AND worker LIKE ANY(%s)"
    found = {row["job_id"] for row in judge.rows(query, struck)}
    assert found >= {job_of(fleet, armed_worker(place)) for place in IN_DOUBT}
    return found


def job_of(fleet: Fleet, name: str) -> str:
    """Return the job at which a process was struck."""
    job_id: str = fleet.logged(name, "failpoint_struck")[0]["job_id"]
    return job_id


def await_left_behind(judge: Judge) -> None:
    """Wait until there are rows to be swept and submits to be looked up."""
    query = "SELECT state FROM jobs WHERE sweep_at < now() AND state IN ('accepted', 'processing', 'fetching')"
    wait_until(lambda: judge.rows(query), "a row was left behind")


def snapshot(judge: Judge) -> dict[str, Any]:
    """Return the jobs that have ended, as they are."""
    query = "SELECT * FROM jobs WHERE state IN ('succeeded', 'failed', 'cancelled')"
    return {str(row["id"]): row for row in judge.rows(query)}


def kill_in_the_middle_of_a_post(fleet: Fleet, judge: Judge, simulator: Simulator) -> list[str]:
    """Kill workers that wait for the vendor's answer, with and without a run having been started."""
    ids: list[str] = []
    for number, starts_run in enumerate((True, False)):
        seed = MIDDLE_OF_A_POST + number
        rule = simulator.add_fault(call="submit", kind="hang", seed=seed, count=1, starts_run=starts_run)
        name = f"posting-{number}"
        fleet.workers(name)
        ids += judge.submit(1, seed=seed)
        wait_until(lambda rule=rule: fired(simulator, rule), "the vendor holds the answer back")  # type: ignore[misc]
        fleet.processes[name].kill()
    return ids


def check_receipts(judge: Judge) -> None:
    """Check that each job that has its files has one receipt beside them, whole and signed, whoever was struck."""
    query = (
        "SELECT o.job_id::text, o.sha256, c.content FROM outputs o JOIN blob_chunks c ON c.location = o.location "
        "WHERE o.name = 'receipt.json'"
    )
    found = judge.rows(query)
    jobs = [row["id"] for row in judge.rows("SELECT id::text FROM jobs WHERE state = 'succeeded'")]
    assert sorted(row["job_id"] for row in found) == sorted(jobs)
    public_key = public_key_of(KEY.encode())
    for row in found:
        content = bytes(row["content"])
        receipt = read(content)
        assert why_not_genuine(receipt, public_key) is None
        assert (receipt["job"]["id"], hashlib.sha256(content).hexdigest()) == (row["job_id"], row["sha256"])
        assert [each["name"] for each in receipt["outputs"]] == ["model.glb"]


def fired(simulator: Simulator, rule: int) -> bool:
    """Tell whether a fault rule has struck."""
    with urllib.request.urlopen(f"{simulator.url}/_simulator/faults") as answer:
        return any(each["id"] == rule and each["fired"] for each in json.load(answer)["faults"])
