"""What a soak has to answer for: jobs lost, paid twice, without their output, unannounced, and secrets told."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.support.judge import _SECRETS, FINAL, canonical, model_of, prompt_of
from tests.support.traffic import CONFLICT, seed_of
from tests.support.witness import Heard

_JOBS = """
SELECT j.id::text, j.state, j.request_id, j.error_code, o.name IS NOT NULL AS has_output, o.sha256
FROM jobs j LEFT JOIN outputs o ON o.job_id = j.id AND o.name = 'model.glb'
"""
_ENDS = """
SELECT id::text, job_id::text, was_routed, extract(epoch FROM published_at)::float AS published_at
FROM events WHERE type ~ '(succeeded|failed|cancelled)$'
"""

AN_HOUR_SECONDS = 3600.0

Row = Mapping[str, Any]


@dataclass
class Database:
    """Reads from the database, whatever happens to it meanwhile."""

    url: str

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Read once.

        Raises:
            psycopg.Error: the database does not answer now.
        """
        url = self.url.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True, connect_timeout=3, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def step_clock(self, ahead: str) -> None:
        """Put the clock that the service goes by so far ahead, for instance `1 hour`; `0` puts it right."""
        told = f"SELECT clock_timestamp() + interval '{ahead}'"
        make = f"CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE AS $${told}$$"
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True, connect_timeout=3) as connection:
            connection.execute(make.encode())

    def accepted(self) -> set[str]:
        """Return the jobs that there are; none while the database is away."""
        with suppress(psycopg.Error):
            return {row["id"] for row in self.rows("SELECT id::text FROM jobs")}
        return set()

    def waiting(self) -> Counter[str]:
        """Count what is not over: jobs by state, and events in the outbox."""
        states = self.rows("SELECT state, count(*) FROM jobs WHERE state <> ALL(%s) GROUP BY state", sorted(FINAL))
        outbox = self.rows("SELECT count(*) FROM events WHERE published_at IS NULL")[0]["count"]
        return +Counter({row["state"]: row["count"] for row in states} | {"events": outbox})


@dataclass(frozen=True)
class Allowed:
    """What a job may have come to because of what was done to it alone, and when the broker was made to forget."""

    poisoned: Collection[str]  # It may have failed without a run: it was refused for as long as the soak went on.
    cancelled: Collection[str]  # It may have been paid and have nothing: its submit was under way.
    broker_lost: Sequence[tuple[float, float]]

    def was_forgotten(self, published_at: float) -> bool:
        """Whether the broker lost what was published then, by a clock that may have been an hour ahead."""
        times = (published_at, published_at - AN_HOUR_SECONDS)
        return any(first <= each <= last for each in times for first, last in self.broker_lost)


@dataclass
class Verdict:
    """The numbers that must be 0, what they are about, and what else was seen."""

    lost: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    failed_without_cause: list[str] = field(default_factory=list)
    outputs_missing: list[str] = field(default_factory=list)
    events_missing: list[str] = field(default_factory=list)
    secrets_told: list[str] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether everything holds."""
        wrong = self.lost, self.paid_twice, self.strangers, self.failed_without_cause
        return not any((*wrong, self.outputs_missing, self.events_missing, self.secrets_told))


def judge(
    sent: Collection[str],
    database: Database,
    ledger: Sequence[Row],
    heard: Sequence[Heard],
    allowed: Allowed,
    logs: Path,
) -> Verdict:
    """Compare what was asked for with the rows, the vendor's bill, and what was heard."""
    jobs = {row["id"]: row for row in database.rows(_JOBS)}
    verdict = Verdict()
    verdict.lost = sorted(job_id for job_id in sent if job_id not in jobs or jobs[job_id]["state"] not in FINAL)
    _judge_bill(verdict, jobs, ledger, allowed)
    _judge_events(verdict, jobs, database.rows(_ENDS), {each.id for each in heard}, allowed)
    verdict.secrets_told = [
        f"{path.name} tells {name}"
        for path in sorted(logs.glob("*.log"))
        for name, secret in _SECRETS.items()
        if secret in path.read_text(errors="replace")
    ]
    verdict.observed["states"] = dict(Counter(row["state"] for row in jobs.values()))
    verdict.observed["failed because"] = dict(Counter(row["error_code"] for row in jobs.values() if row["error_code"]))
    return verdict


def _judge_bill(verdict: Verdict, jobs: Mapping[str, Row], ledger: Sequence[Row], allowed: Allowed) -> None:
    runs = defaultdict(list)
    for run in ledger:
        runs[run["prompt"]].append(run)
    verdict.paid_twice = sorted(prompt for prompt, each in runs.items() if len(each) > 1 or prompt == CONFLICT)
    for job_id, job in jobs.items():
        if job["state"] == "succeeded" and not _has_its_own(job, runs[prompt_of(job_id)]):
            verdict.strangers.append(f"{job_id} has {job['request_id']}")
        if job["state"] == "failed" and not runs[prompt_of(job_id)] and job_id not in allowed.poisoned:
            verdict.failed_without_cause.append(f"{job_id} {job['error_code']}")
        if job["state"] == "cancelled" and job_id in allowed.cancelled:
            continue
        has_run = any(run["status"] == "COMPLETED" for run in runs[prompt_of(job_id)])
        if (has_run or job["state"] == "succeeded") and not (job["state"] == "succeeded" and job["has_output"]):
            verdict.outputs_missing.append(f"{job_id} {job['state']} {job['error_code']}")
    verdict.observed["runs"] = dict(Counter(run["status"] for run in ledger))


def _has_its_own(job: Row, runs: Sequence[Row]) -> bool:
    """Tell whether a job has the run that is on the bill for it, and the model of its own seed."""
    is_own_run = any(canonical(run["request_id"]) == canonical(job["request_id"]) for run in runs)
    return is_own_run and job["sha256"] in {None, model_of(seed_of(job["id"]))}


def _judge_events(
    verdict: Verdict,
    jobs: Mapping[str, Row],
    ends: Sequence[Row],
    heard: Collection[str],
    allowed: Allowed,
) -> None:
    """Tell an end that nobody heard though it was to be, from one that had no queue or that the broker forgot."""
    told = defaultdict(list)
    for event in ends:
        told[event["job_id"]].append(event)
    kinds: Counter[str] = Counter()
    for job_id, job in jobs.items():
        if job["state"] in FINAL:
            kind = _how_told(told[job_id], heard, allowed)
            kinds[kind] += 1
            if kind == "missing":
                verdict.events_missing.append(job_id)
    verdict.observed["ends announced"] = dict(kinds)
    verdict.observed["events heard"] = len(heard)


def _how_told(events: Sequence[Row], heard: Collection[str], allowed: Allowed) -> str:
    if any(event["id"] in heard for event in events):
        return "heard"
    if not events or any(event["published_at"] is None for event in events):
        return "missing"
    if not any(event["was_routed"] for event in events):
        return "to no queue"
    was_forgotten = any(allowed.was_forgotten(event["published_at"]) for event in events)
    return "forgotten with the virtual host" if was_forgotten else "missing"
