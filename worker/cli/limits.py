"""How the request budget stands: ``budget``."""

from typing import Any

from worker.cli.opened import opened_database
from worker.cli.show import head, print_json, print_table, print_values, say, titled
from worker.rules.job import ACCOUNT
from worker.telemetry.errors_alone import log_errors_alone
from worker.telemetry.metrics import Usage, seconds, usage
from worker.work.outlook import Outlook


def budget(*, as_json: bool) -> None:
    """Show the request limit, what was used of it by what, what a job takes, and how long a new one waits."""
    log_errors_alone()
    with opened_database() as (settings, engine):
        found = usage(engine, ACCOUNT, Outlook(settings, engine).terms())
    asked = settings.budget.limit
    shown = described(found, asked)
    if as_json:
        print_json(shown)
        return
    print_values({titled(name): value for name, value in shown.items() if name != "used"}, 22)
    if asked:
        head("used")
        print_table(shown["used"], ["kind", "last_minute", "last_hour"])
    else:
        say()
        say("Nothing is drawn while SAM3D_REQUESTS_PER_MINUTE is unset.")


def described(found: Usage, asked: int | None) -> dict[str, Any]:
    """Return what is shown; times in seconds, limits in requests a minute."""
    terms, carried = found.terms, found.carried
    return {
        "account": found.account,
        "held_for": ", ".join(found.held_for) or None,
        "limit_set": asked,
        "limit_now": _rounded(terms.limit),
        "reads_count": "assumed" if terms.reads_count is None else terms.reads_count,
        "single_look": "not known yet" if terms.single_look is None else terms.single_look,
        "closed_seconds": seconds(carried.closed_for),
        "jobs_waiting": carried.waiting,
        "jobs_in_flight": carried.in_flight,
        "expected_wait_seconds": seconds(found.expected_wait),
        "typical_run_seconds": seconds(terms.plan.typical),
        "first_poll_seconds": seconds(terms.plan.first),
        "averaged_over_jobs": carried.finished,
        "requests_per_job": _rounded(carried.requests_per_job),
        "polls_per_job": _rounded(carried.polls_per_job),
        "used": [
            {"kind": each.kind, "last_minute": each.last_minute, "last_hour": each.last_hour} for each in found.used
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
