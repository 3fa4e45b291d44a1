"""The account, which a person stops and lets go on, and its request budget: ``hold``, ``resume``, ``budget``."""

from typing import Any

from worker.cli.opened import opened_database
from worker.cli.ready import ready_office
from worker.cli.show import head, note, print_json, print_table, print_values, say, titled
from worker.database import lineage, reading
from worker.database.engine import transaction
from worker.errors import HoldCause
from worker.rules.job import ACCOUNT
from worker.rules.outcome import Hold
from worker.telemetry.logs import configure_logging
from worker.telemetry.metrics import Usage, seconds, usage
from worker.work import holding
from worker.work.outlook import Outlook


def hold(message: str, *, as_json: bool) -> None:
    """Stop submits: jobs wait, runs that were started go on. Only `sam3d resume` lets them go on again."""
    with ready_office() as office:
        with transaction(office.engine) as connection:
            events = holding.hold(connection, office.account, Hold(HoldCause.OPERATOR, message), stops_reads=False)
            causes = [str(each["held_cause"]) for each in reading.held_accounts(connection)]
        office.post.announce(events)
    _show_account("held", causes, is_changed=bool(events), as_json=as_json)


def resume(*, as_json: bool) -> None:
    """Let a held account go on at once, whatever held it; the vendor may stop it again.

    After the database was set back: also without having compared it with the request history.
    """
    with ready_office() as office:
        with transaction(office.engine) as connection:
            causes = [str(each["held_cause"]) for each in reading.held_accounts(connection)]
            is_uncompared = lineage.resume(connection, office.account)
            events = holding.lift(connection, office.account)
        office.post.announce(events)
    if is_uncompared:
        note(f"The database was not compared with the request history: {holding.MAY_BE_PAID_AGAIN}.")
    _show_account("resumed", causes, is_changed=bool(events) or is_uncompared, as_json=as_json)


def _show_account(word: str, causes: list[str], *, is_changed: bool, as_json: bool) -> None:
    """Say whether the account was stopped or let go on, and for what it is or was stopped."""
    if as_json:
        print_json({"account": ACCOUNT, "is_changed": is_changed, "causes": causes})
    else:
        why = f" ({', '.join(causes)})" if causes else ""
        say(f"account {ACCOUNT} {word}{why}" if is_changed else f"account {ACCOUNT} was so already{why}")


def budget(*, as_json: bool) -> None:
    """Show the request limit, what was used of it by what, what a job takes, and how long a new one waits."""
    configure_logging("ERROR")
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
