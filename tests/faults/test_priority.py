"""A backlog in the submit queue: the most important job does not wait for it."""

from tests.support.deployment import Service
from tests.support.judge import Judge, prompt_of
from tests.support.waiting import wait_until
from worker.simulator import Simulator

BACKLOG = 12


def test_the_most_important_job_overtakes_a_backlog(deployment: Service, judge: Judge, simulator: Simulator) -> None:
    """Without a request limit, without a scheduler: those that came before it are submitted after it, each once."""
    deployment.start("accepts", "worker", "--steps", "accept")
    ids = judge.submit(BACKLOG)
    judge.await_states(ids, "accepted")
    important = judge.submit(1, priority=9)
    judge.await_states(important, "accepted")
    deployment.start("submits", "worker", "--steps", "submit,poll,fetch", "--concurrency", "1")
    wait_until(lambda: len(simulator.ledger()) == BACKLOG + 1, "all are submitted")
    order = [run["prompt"] for run in simulator.ledger()]
    assert order[0] == prompt_of(important[0])
    assert sorted(order[1:]) == sorted(map(prompt_of, ids))
    judge.await_states([*ids, *important], "succeeded")
