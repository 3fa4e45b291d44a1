"""How soon work goes on: nobody waits for a lease whose owner is gone, or for a message that is not there."""

import pytest
from kombu import Connection

from tests.support.deployment import Service, count_logged, start_all, start_worker, told_again
from tests.support.judge import Judge
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.proxy import COMMITTED, UPDATED, Proxy
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.waiting import wait_until
from worker.broker.topology import LADDER, delay_queue, queue_name
from worker.rules.lifecycle import Step
from worker.simulator import Simulator

HOURS = "7200"
LONG_LEASES = {"SAM3D_READ_DEADLINE": HOURS, "SAM3D_DOWNLOAD_DEADLINE": HOURS}
LONG_WAITS = {"SAM3D_SWEEP_GRACE": HOURS, "SAM3D_SWEEP_INTERVAL": "10"}


def test_what_the_dead_had_taken_is_free(deployment: Service, judge: Judge) -> None:
    """A worker killed in a fetch, another in a poll: theirs is done by the next one, though their leases last hours."""
    deployment.environment |= LONG_LEASES
    deployment.start("scheduler", "scheduler")
    ids = []
    for place in ("poll.taken", "fetch.taken"):
        start_worker(deployment, place, SAM3D_FAILPOINTS=f"{place}=kill")
        ids += judge.submit(2)
        wait_until(lambda place=place: deployment.processes[place].poll() is not None, f"it dies at {place}")  # type: ignore[misc]
    assert judge.rows("SELECT count(*) FROM jobs WHERE lease_until > sam3d_now() + interval '1 hour'") != [{"count": 0}]
    start_worker(deployment)
    judge.check(ids, within=60)


def test_what_waited_for_a_slot_of_the_dead_is_submitted(
    deployment: Service, judge: Judge, simulator: Simulator
) -> None:
    """It was accepted and acknowledged; no message of it is anywhere, and no other process knew of it."""
    deployment.environment["SAM3D_RECONCILE_DEADLINE"] = "120"  # Those of the dead are proven by those that come after.
    deployment.start("scheduler", "scheduler")
    start_worker(deployment, "first", SAM3D_SWEEP_GRACE="15", SAM3D_SUBMIT_DEADLINE="15")
    simulator.add_fault(call="submit", kind="hang", seconds=60, count=4)
    ids = judge.submit(4)
    judge.await_states(ids, "submitting")
    waiting = judge.submit(4)
    judge.await_states(waiting, "accepted")
    deployment.processes["first"].kill()
    assert judge.states(waiting) == {"accepted": 4}
    start_worker(deployment)
    judge.check([*ids, *waiting], within=120)


def test_a_living_worker_is_not_robbed(deployment: Service, judge: Judge, postgres: PrivatePostgres) -> None:
    """Its sessions are cut again and again while it downloads: it takes its lock again, and nobody fetches twice."""
    deployment.environment |= LONG_LEASES
    start_all(deployment)
    name = deployment.environment["SAM3D_DATABASE_URL"].rpartition("/")[2]
    ids = judge.submit(4)
    for _ in range(3):
        postgres.disconnect(name)
        judge.await_states(ids, "processing", "fetching", "succeeded")
    judge.check(ids, within=60)
    assert not count_logged(deployment, "leases_freed")


@pytest.mark.parametrize(
    ("reply", "limit"),
    [(COMMITTED, {}), (UPDATED, {}), (UPDATED, {"SAM3D_REQUESTS_PER_MINUTE": "100000"})],
    ids=["committed", "updated", "updated with its slot"],
)
def test_a_take_whose_reply_was_lost_is_given_back(
    deployment: Service, judge: Judge, postgres: PrivatePostgres, reply: bytes, limit: dict[str, str]
) -> None:
    """The worker does not know that it has the job; nobody waits for the end of its lease."""
    deployment.environment |= LONG_LEASES | limit
    with Proxy(postgres.port) as proxy:
        url = deployment.environment["SAM3D_DATABASE_URL"].replace(f":{postgres.port}/", f":{proxy.port}/")
        start_all(deployment, SAM3D_DATABASE_URL=url)
        ids = judge.submit(20)
        judge.await_states(ids, "processing", "fetching", "succeeded")
        proxy.lose_replies(reply, times=25)
        wait_until(lambda: proxy.lost_replies == 25, "replies were lost")
        judge.check(ids, within=90)


def test_what_could_not_be_sent_is_swept_as_soon_as_the_broker_is_back(
    deployment: Service, judge: Judge, simulator: Simulator, rabbitmq: PrivateRabbit
) -> None:
    """It is killed under steps whose messages then can't be sent: no grace is waited for, nor the next sweep."""
    deployment.environment |= LONG_WAITS
    start_all(deployment)
    simulator.update(run_time=4)
    judge.await_states(judge.submit(2), "succeeded")
    rabbitmq.settle()
    with told_again(deployment, "step_unsent"):
        ids = judge.submit(24)  # The worker is at them when it breaks.
        rabbitmq.kill()
    wait_until(lambda: count_logged(deployment, "broker_unreachable") > 1, "the scheduler tries again and again")
    rabbitmq.start()
    judge.check(ids, within=60)


def test_messages_that_are_lost_are_not_waited_for(
    deployment: Service, judge: Judge, simulator: Simulator, rabbitmq: PrivateRabbit
) -> None:
    """The delay queues, then the queue of polls: each run is looked for soon after it is due."""
    deployment.environment |= {"SAM3D_SWEEP_GRACE": HOURS}
    simulator.update(run_time=6)
    start_all(deployment)
    ids = []
    for lost in ([delay_queue(seconds).name for seconds in LADDER], [queue_name(Step.POLL)]):
        ids += judge.submit(6)
        judge.await_states(ids, "processing", "succeeded")
        with Connection(deployment.environment["SAM3D_BROKER_URL"]) as connection:
            for name in lost:
                connection.default_channel.queue_delete(name)  # type: ignore[attr-defined]
        judge.check(ids, within=60)
