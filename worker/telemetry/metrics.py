"""What the request budget is used for, and what it carries: for ``sam3d budget`` and the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.database import reading
from worker.database import usage as repository
from worker.database.engine import Engine, transaction
from worker.database.usage import Carried, Used
from worker.errors import HoldCause
from worker.rules.budget import Kind, Terms


@dataclass(frozen=True)
class Usage:
    """How an account's budget stands."""

    account: str
    terms: Terms
    used: Sequence[Used]
    carried: Carried
    held_for: Sequence[str] = ()

    @property
    def expected_wait(self) -> timedelta:
        """How long a job that comes now waits for its submit: each one before it takes its requests' slots."""
        slot = self.terms.slot
        waits = self.carried.waiting * self.terms.requests * slot if slot else timedelta(0)
        return max(waits, self.carried.closed_for)


def usage(engine: Engine, account: str, terms: Terms) -> Usage:
    """Read how an account's budget stands now, by the terms that a process goes by.

    Raises:
        DatabaseError: nobody knows.
    """
    with transaction(engine) as connection:
        used, carried = repository.used(connection, account), repository.carried(connection, account)
        held = [each["held_cause"] for each in reading.held_accounts(connection) if each["name"] == account]
    return Usage(account, terms, used, carried, held)


def exposition(usage: Usage) -> bytes:
    """Write it in the text format that Prometheus reads."""
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # Who looks at the budget needs none.

    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"sam3d_{name}", meaning, ["account"], registry=registry).labels(usage.account).set(value)

    carried = usage.carried
    gauge("request_limit", "The limit in force, requests a minute.", usage.terms.limit)
    gauge("request_limit_closed_seconds", "Until the vendor's request limit opens again.", seconds(carried.closed_for))
    gauge("requests_per_job", "Requests that the last finished jobs took.", carried.requests_per_job)
    gauge("polls_per_job", "Polls that the last finished jobs took.", carried.polls_per_job)
    gauge("jobs_waiting", "Jobs that are accepted and not submitted.", carried.waiting)
    gauge("jobs_in_flight", "Jobs that the vendor has, or whose output is fetched.", carried.in_flight)
    gauge("expected_wait_seconds", "How long a new job waits for its submit.", seconds(usage.expected_wait))
    held = Gauge(
        "sam3d_account_held", "Whether the account is held, by cause.", ["account", "cause"], registry=registry
    )
    for cause in HoldCause:
        held.labels(usage.account, cause).set(cause in usage.held_for)
    made = Gauge("sam3d_requests_last_minute", "Requests drawn, by kind.", ["account", "kind"], registry=registry)
    for each in usage.used:
        if each.kind is Kind.LIMITED:
            gauge("requests_limited_last_minute", "Requests that were answered with 429.", each.last_minute)
        else:
            made.labels(usage.account, each.kind).set(each.last_minute)
    return generate_latest(registry)


def seconds(time: timedelta) -> float:
    """Write a duration for a program."""
    return round(time.total_seconds(), 1)
