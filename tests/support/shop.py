"""The whole service in this process, on a clock that the test turns: an hour of waiting takes no time.

Messages are kept in a list and are due by that clock; the database and the simulated vendor read the same.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.clock import Clock
from tests.support.in_process import PHOTO
from tests.support.kept import KeptPost
from worker.app import App
from worker.database.engine import transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp
from worker.rules.request_id import canonical_id
from worker.simulator import Simulator, SimulatorSettings
from worker.upkeep.scheduler import Scheduler
from worker.work.executor import execute
from worker.work.outlook import FRESH, Outlook

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
RUN = timedelta(seconds=30)
"""How long a run takes by the simulator's clock."""

KEY = "SG_0123456789abcdef"


class Shop:
    """Jobs, their messages, a worker that does one step after the other, and a scheduler."""

    def __init__(self, app: App, simulator: Simulator) -> None:
        self.services = app.services
        self.simulator = simulator
        self._ahead = timedelta(0)
        self._messages: list[tuple[datetime, FollowUp]] = []
        object.__setattr__(self.services, "post", KeptPost(self.services.post, self._send))
        self._scheduler = Scheduler(app.services, dict, steady=self._steady)
        self._database_clock = Clock(app.services.engine)
        self._tick_at = self._stale_at = self.now

    def carry_on(self, before: Self) -> None:
        """Go on at the time of a service that was here before, with its messages."""
        self._ahead, self._messages, self._tick_at = before._ahead, before._messages, before.now
        self._database_clock.advance(before._ahead)

    @property
    def now(self) -> datetime:
        """The time by everybody's clock."""
        return datetime.now(UTC) + self._ahead

    def _steady(self) -> float:
        """Return the seconds of a clock that never steps."""
        return time.monotonic() + self._ahead.total_seconds()

    def set(self, **settings: Any) -> None:
        """Change settings of the service that is running."""
        changed = self.services.settings.having(**settings)
        for owner in (self.services, self.services.vendor, self.services.downloads):
            name = "settings" if owner is self.services else "_settings"
            object.__setattr__(owner, name, changed)
        object.__setattr__(self.services, "outlook", Outlook(changed, self.services.engine))

    def accept(self, prompt: str, **fields: Any) -> str:
        """Accept a job, which the vendor's bill knows by its prompt; return its id."""
        request = prepare_request(PHOTO, prompt=prompt, **fields)
        follow_up = accept(self.services, request, derived_job_id("test", uuid4().hex))
        if follow_up:  # Else its account is held, and it waits as a row.
            self._send(follow_up)
        return str(request["job_id"])

    def _send(self, follow_up: FollowUp) -> None:
        self._messages.append((self.now + follow_up.delay, follow_up))

    def live(self, duration: timedelta) -> None:
        """Let that time pass, with everything that is due in it."""
        ends_at = self.now + duration
        while (upcoming := min([self._tick_at, *(due for due, _ in self._messages)])) <= ends_at:
            self.skip(upcoming - self.now)
            if upcoming == self._tick_at:
                self._scheduler.tick()
                self._tick_at = self.now + self.services.settings.upkeep.sweep_interval
            else:
                self._work(min(self._messages, key=lambda each: each[0]))
        self.skip(ends_at - self.now)

    def _work(self, message: tuple[datetime, FollowUp]) -> None:
        self._messages.remove(message)
        if self.now >= self._stale_at:
            self.services.outlook._stale_at = 0
            self._stale_at = self.now + FRESH
        following = execute(self.services, message[1].step, message[1].ticket)
        if following:
            self._send(following)

    def skip(self, duration: timedelta) -> None:
        """Let time pass in which nobody does anything."""
        if duration <= timedelta(0):
            return
        self._ahead += duration
        self.simulator.advance(duration)
        self._database_clock.advance(duration)

    def step(self, by: timedelta) -> None:
        """Let the database's clock, and no other, step ahead or back."""
        self._database_clock.advance(by)

    # What is to be seen.

    def rows(self, query: str, **values: Any) -> Sequence[dict[str, Any]]:
        """Ask the database."""
        with transaction(self.services.engine) as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job's row."""
        return self.rows("SELECT * FROM jobs WHERE id = CAST(:id AS uuid)", id=job_id)[0]

    @property
    def states(self) -> Counter[str]:
        """How many jobs are in each state."""
        return Counter(row["state"] for row in self.rows("SELECT state FROM jobs"))

    def events(self, job_id: str | None = None) -> list[str]:
        """Return what was announced of a job, or of the account."""
        query = "SELECT type FROM events WHERE job_id IS NOT DISTINCT FROM CAST(:id AS uuid) ORDER BY position"
        return [row["type"].rpartition(".")[2] for row in self.rows(query, id=job_id)]

    def verdicts(self, job_id: str) -> list[str | None]:
        """Return what the ledger says of a job's submits, oldest first."""
        query = "SELECT verdict FROM submissions WHERE job_id = CAST(:id AS uuid) ORDER BY intended_at"
        return [row["verdict"] for row in self.rows(query, id=job_id)]

    def paid(self, prompt: str) -> int:
        """Return how many runs the vendor's bill has for a prompt."""
        return sum(run["prompt"] == prompt for run in self.simulator.ledger())

    def calls(self, name: str) -> int:
        """Return how often the vendor was called."""
        return sum(self.simulator.requests()["calls"].get(name, {}).values())

    def check_bill(self) -> None:
        """Check that each job has a run of its own or none, and that no run is without a job."""
        has = {row["request_id"] for row in self.rows("SELECT request_id FROM jobs WHERE request_id IS NOT NULL")}
        paid = {run["request_id"] for run in self.simulator.ledger()}
        assert {canonical_id(each) for each in has} == {canonical_id(each) for each in paid}

    def close(self) -> None:
        """Turn the vendor's clock back."""
        self.simulator.advance(-self._ahead)


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    """Run one simulator for all tests; its runs take half a minute of its own clock."""
    with Simulator(SimulatorSettings.model_validate({"run_time": RUN.total_seconds()})) as simulated:
        yield simulated


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """Provide a vendor that knows nothing and goes wrong in no way."""
    running_simulator.reset()
    return running_simulator


@pytest.fixture
def shop(app: App, simulator: Simulator) -> Iterator[Shop]:
    """Provide the service with its usual intervals, at the machine's time."""
    opened = Shop(app, simulator)
    opened.set(SAM3D_EXPECTED_RUN=RUN, SAM3D_SWEEP_INTERVAL=RUN)
    yield opened
    opened.close()


def app_inputs(shop: Shop, job_id: str) -> dict[str, Any]:
    """Return what a job sends."""
    image = shop.rows(
        "SELECT encode(content, 'base64') AS text FROM inputs WHERE job_id = CAST(:id AS uuid)", id=job_id
    )
    return {**shop.job(job_id)["parameters"], "image": image[0]["text"].replace("\n", "")}
