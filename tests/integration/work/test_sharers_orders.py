"""Every order in which requests come, are given up and are retried while their run goes its way."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import product

from tests.support.in_process import wait_until_due
from tests.support.requests import rows
from tests.support.sharing import row_of, send
from worker.app import App
from worker.rules.job import Job
from worker.rules.lifecycle import FollowUp, Step
from worker.rules.outcome import Snooze
from worker.simulator import Simulator
from worker.work import changes
from worker.work.cancelling import cancel
from worker.work.executor import execute, record
from worker.work.retrying import retry
from worker.work.taking import load

LENGTH = 3
"""Of the orders, after the first request."""

FINAL = {"succeeded", "failed", "cancelled"}
ENDS = "SELECT type, payload FROM events WHERE job_id = ANY(:ids) AND type ~ '(succeeded|failed|cancelled)$'"


class History:
    """What happens to the requests of one seed, which share nothing with others. Each action tells whether it could."""

    def __init__(self, app: App, simulator: Simulator, seed: int) -> None:
        self.jobs: list[str] = []
        self._app = app
        self._simulator = simulator
        self._seed = seed
        self._given_up: list[str] = []
        self._messages: list[FollowUp] = []
        self._taken: Job | None = None

    def come(self) -> bool:
        """Let a request come."""
        return self._add(*send(self._app, seed=self._seed))

    def give_up(self) -> bool:
        """Cancel the oldest job that has not ended."""
        for job_id in self.jobs:
            if cancel(self._app.services, job_id):
                self._given_up.append(job_id)
                return True
        return False

    def retry(self) -> bool:
        """Retry the job that was cancelled last."""
        return bool(self._given_up) and self._add(*retry(self._app.services, self._given_up.pop()))

    def step(self) -> bool:
        """Do the next step of a run."""
        if not self._messages or self._taken:
            return False
        message, paid, ends = self._messages.pop(0), self.paid, self.ends
        wait_until_due(self._app, message)
        following = execute(self._app.services, message.step, message.ticket)
        assert self.paid == paid or not FINAL.issuperset(ends.values()), "nothing is paid that nobody waits for"
        return self._send(following)

    def submit_in_vain(self) -> bool:
        """Begin a submit; if one has begun, end it: nothing could be sent."""
        if job := self._taken:
            self._taken = None
            put_off = record(self._app.services, job, Snooze(timedelta(0), "nothing was sent"))
            return self._send(changes.follow_up(job, put_off))
        if self._messages and self._messages[0].step is Step.SUBMIT:
            self._taken = load(self._app.services, Step.SUBMIT, self._messages.pop(0).ticket)
        return self._taken is not None

    def finish(self) -> None:
        """Do all that is left."""
        if self._taken:
            self.submit_in_vain()
        while self.step():
            pass

    @property
    def ends(self) -> Mapping[str, str]:
        """The states of the jobs."""
        return {job_id: row_of(self._app, job_id)["state"] for job_id in self.jobs}

    @property
    def paid(self) -> Sequence[float]:
        """What the vendor's bill has."""
        return [run["cost"] for run in self._simulator.ledger() if run["seed"] == self._seed]

    def _add(self, job_id: str, submit: FollowUp | None) -> bool:
        self.jobs.append(job_id)
        return self._send(submit)

    def _send(self, message: FollowUp | None) -> bool:
        self._messages += [message] if message else []
        return True


ACTIONS = (History.come, History.give_up, History.retry, History.step, History.submit_in_vain)


def test_in_no_order_is_one_forgotten_or_paid_twice(sharing: App, simulator: Simulator) -> None:
    """Each job has one end, which it is told; there is one run at most, and what it cost is told once."""
    checked = 0
    for seed, order in enumerate(product(ACTIONS, repeat=LENGTH)):
        history = History(sharing, simulator, seed)
        if history.come() and all(action(history) for action in order):
            history.finish()
            check(sharing, history, " ".join(action.__name__ for action in order))
            checked += 1
    assert checked > 40


def check(app: App, history: History, order: str) -> None:
    """Compare what became of the jobs with what they were told, and with the bill."""
    told = [event["payload"] for event in rows(app, ENDS, ids=history.jobs)]
    assert sorted((event["job_id"], event["state"]) for event in told) == sorted(history.ends.items()), order
    costs = [event["cost"]["amount"] for event in told if event["state"] == "succeeded"]
    assert [cost for cost in costs if cost] == (history.paid if costs else []), order
    assert len(history.paid) <= 1, order
