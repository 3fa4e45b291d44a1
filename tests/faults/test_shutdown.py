"""A worker that is told to stop finishes what it has in hand, and ends; nothing is left for anybody to decide."""

import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.crashes import ask_until_struck, await_out_of_doubt, strike_schedulers
from tests.support.deployment import Service
from tests.support.fleet import SCHEDULERS, Fleet, armed_scheduler
from tests.support.judge import Judge
from tests.support.receipt_keys import make_key
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.simulator import Simulator

GRACE_SECONDS = 120
"""What a pod is given; these workers need a few seconds."""

JOBS = 50
SLOTS = 2


@pytest.fixture
def fleet(deployment: Service, zygote: Zygote) -> Iterator[Fleet]:
    """Provide the processes of a deployment that signs receipts; none runs yet."""
    deployment.environment["SAM3D_RECEIPT_KEY"] = make_key()
    with Fleet(deployment, zygote) as processes:
        yield processes


def test_stopped_in_each_step(fleet: Fleet, judge: Judge) -> None:
    """SIGTERM at any place in the code ends the process with 0, and every job ends once."""
    told = fleet.arm_workers("stop")
    fleet.split_workers()
    fleet.await_logged("worker_ready", *told)
    ids = judge.submit(JOBS)
    ask_until_struck(fleet, judge, ids)

    codes = {name: fleet.processes[name].wait(GRACE_SECONDS) for name in told}
    assert set(codes.values()) == {0}
    fleet.await_struck(told)
    fleet.start("scheduler", "scheduler")
    judge.check(ids)
    assert never_reviewed(judge)


def test_a_worker_that_is_hung_up_on_ends(fleet: Fleet, judge: Judge) -> None:
    """As by SIGTERM: it does not run its command line again, which Celery would."""
    fleet.workers("worker")
    ids = judge.submit(SLOTS)
    judge.await_states(ids, "processing", "succeeded")
    fleet.processes["worker"].send_signal(signal.SIGHUP)
    assert fleet.processes["worker"].wait(GRACE_SECONDS) == 0
    assert fleet.logged("worker", "worker_stopped")


def test_schedulers_are_stopped_in_their_work(fleet: Fleet, judge: Judge, simulator: Simulator) -> None:
    """One ends after the part in hand, the next goes on; a submit without an answer is looked up."""
    fleet.workers("worker")
    ids = strike_schedulers(fleet, judge, simulator, "stop", lambda process: process.wait(GRACE_SECONDS))
    assert {fleet.processes[armed_scheduler(place)].returncode for place in SCHEDULERS} == {0}

    fleet.start("scheduler", "scheduler")
    await_out_of_doubt(judge, ids)
    judge.check(ids)
    assert never_reviewed(judge)


def test_rolling_deploy(fleet: Fleet, judge: Judge, simulator: Simulator) -> None:
    """Workers and schedulers are replaced one by one while jobs come in; each old one ends within the grace."""
    simulator.update(run_time=3)
    fleet.workers("worker-0")
    fleet.start("scheduler-0", "scheduler")
    ids = judge.submit(JOBS // 2)
    for number in range(3):
        fleet.start(f"scheduler-{number + 1}", "scheduler")
        fleet.workers(f"worker-{number + 1}")
        fleet.await_logged("scheduler_started", f"scheduler-{number}")
        began = time.monotonic()
        assert fleet.end(f"worker-{number}", f"scheduler-{number}", within=GRACE_SECONDS) == [0, 0]
        print(f"round {number}: ended within {time.monotonic() - began:.1f} s")
        ids += judge.submit(JOBS // 2)
    judge.check(ids)
    assert never_reviewed(judge)


def test_stopped_without_its_broker(fleet: Fleet, judge: Judge, simulator: Simulator, rabbitmq: PrivateRabbit) -> None:
    """It waits for no connection, only for what its slots have in hand; what waits for one is begun no more."""
    simulator.add_fault(call="submit", kind="slow_bytes", bytes_per_second=100)
    worker = fleet.start("worker", "worker", "--concurrency", str(SLOTS))
    fleet.await_logged("worker_ready", "worker")
    ids = judge.submit(12)
    judge.await_states(ids, "accepted", "submitting", at_least=10)
    rabbitmq.settle()
    rabbitmq.kill()
    wait_until(lambda: fleet.logged("worker", "inbox_disconnected"), "the worker has noticed")
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: fleet.logged("worker", "signal_received"), "it was told to end")
    begun = SLOTS + len(judge.rows("SELECT token FROM submissions"))
    assert worker.wait(GRACE_SECONDS) == 0
    assert len(judge.rows("SELECT token FROM submissions")) <= begun

    rabbitmq.start()
    simulator.clear_faults()
    fleet.workers("another")
    fleet.start("scheduler", "scheduler")
    judge.check(ids)
    assert never_reviewed(judge)


def never_reviewed(judge: Judge) -> bool:
    """Tell whether no job was ever put to review."""
    return not judge.rows("SELECT job_id FROM events WHERE type LIKE %s", "%review")
