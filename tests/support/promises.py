"""What the scenarios of the promises share: their size, the doubts that no person settled, whose model it is.

The suite runs a small size of each; the full one is asked for with the environment variable that the scenario names.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.support.deployment import Service
from tests.support.judge import Judge, model_of
from tests.support.waiting import wait_until
from worker.simulator import Simulator

_told: Counter[str] = Counter()
_HURRY = """
UPDATE jobs SET due_at = now(), sweep_at = now()
WHERE lease_until IS NULL AND finished_at IS NULL AND due_at > now() + interval '10 seconds'
"""


def size(variable: str, small: int) -> int:
    """Return how many jobs a scenario has."""
    return int(os.environ.get(variable, small))


def tell_doubts(judge: Judge, scenario: str) -> Counter[str]:
    """Print how many answers of submits were unknown and how many of those no person had to decide; return both."""
    query = "SELECT verdict, count(*) AS n FROM submissions WHERE verdict <> ALL(%s) GROUP BY verdict"
    told = ["accepted", "refused", "held", "not_started"]
    verdicts = {row["verdict"]: row["n"] for row in judge.rows(query, told)}
    reviewed = judge.rows("SELECT count(*) AS n FROM jobs WHERE state = 'review'")[0]["n"]
    doubts = Counter(unknown=sum(verdicts.values()), review=reviewed)
    _told.update(doubts)
    so_far = f"{_told['unknown']}, {_told['review']} for a person"
    print(f"\n{scenario}: unknown answers {verdicts}, for a person {reviewed}; in all scenarios so far {so_far}")
    return doubts


def calls(simulator: Simulator, name: str) -> int:
    """Count the calls of a kind that the vendor got."""
    return sum(simulator.requests()["calls"].get(name, {}).values())


def submits_by_job(simulator: Simulator, judge: Judge) -> Mapping[str, int]:
    """Count each job's POSTs by the ledger."""
    rows = judge.rows("SELECT job_id::text, count(*) AS n FROM submissions GROUP BY job_id")
    return {row["job_id"]: row["n"] for row in rows}


def await_end(judge: Judge, ids: Sequence[str], within: float = 120, *, are_hurried: bool = False) -> Counter[str]:
    """Wait until each job has ended or is in review, and return how many ended how.

    Hurried ones are tried again now where the service would wait for a minute.
    """
    ends = {"succeeded", "failed", "cancelled", "review"}

    def have_ended() -> bool:
        if are_hurried:
            judge.rows(_HURRY)
        return sum(count for state, count in judge.states(ids).items() if state in ends) == len(ids)

    try:
        wait_until(have_ended, "each job has ended or is in review", within)
    except AssertionError as error:
        raise AssertionError(f"{error}; they are {dict(judge.states(ids))}") from None
    return judge.states(ids)


def in_state(judge: Judge, state: str) -> set[str]:
    """Return the jobs in a state."""
    return {row["id"] for row in judge.rows("SELECT id::text FROM jobs WHERE state = %s", state)}


def held_cause(judge: Judge) -> str | None:
    """Return why the account is held."""
    rows = judge.rows("SELECT held_cause FROM accounts WHERE held_at IS NOT NULL")
    return rows[0]["held_cause"] if rows else None


def await_quiet(count: Callable[[], int], what: str) -> int:
    """Wait until a number has not grown for a second, and return it."""
    seen: list[int] = []

    def is_quiet() -> bool:
        seen.append(count())
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_until(is_quiet, what)
    return seen[-1]


def check_models(judge: Judge, seeds: Mapping[str, int]) -> None:
    """Check that each job that succeeded has the model of its own seed, byte for byte."""
    query = (
        "SELECT o.job_id::text, o.sha256 FROM outputs o JOIN jobs j ON j.id = o.job_id "
        "WHERE j.state = 'succeeded' AND o.name = 'model.glb'"
    )
    for row in judge.rows(query):
        assert row["sha256"] == model_of(seeds[row["job_id"]]), f"job {row['job_id']} has another job's model"


def logged_calls(simulator: Simulator, call: str, answer: str) -> Counter[str]:
    """Count how often each address was called with this answer."""
    log = simulator.requests(with_log=True)["log"]
    return Counter(entry["path"] for entry in log if (entry["call"], entry["answer"]) == (call, answer))


def start_fleet(deployment: Service, workers: int = 2) -> None:
    """Start a scheduler and some workers with four threads each."""
    deployment.start("scheduler", "scheduler")
    for number in range(workers):
        deployment.start(f"worker-{number}", "worker", "--concurrency", "4")
    for number in range(workers):
        name = f"worker-{number}"
        wait_until(lambda name=name: "worker_ready" in deployment.log_of(name), f"{name} consumes")  # type: ignore[misc]


def now(judge: Judge) -> float:
    """Return the time by the database, in seconds."""
    return float(judge.rows("SELECT extract(epoch FROM clock_timestamp())::float AS now")[0]["now"])
