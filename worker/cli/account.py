"""The account, which a person stops and lets go on: ``hold``, ``resume``."""

from worker.cli.ready import ready_office
from worker.cli.show import note, print_json, say
from worker.database import lineage, reading
from worker.database.engine import transaction
from worker.errors import HoldCause
from worker.rules.job import ACCOUNT
from worker.rules.outcome import Hold
from worker.work import holding


def hold(message: str, *, as_json: bool) -> None:
    """Stop submits: jobs wait, runs that were started go on. Only `sam3d resume` lets them go on again."""
    with ready_office() as office:
        with transaction(office.engine) as connection:
            events = holding.hold(connection, office.account, Hold(HoldCause.OPERATOR, message), stops_reads=False)
            causes = [str(each["held_cause"]) for each in reading.held_accounts(connection)]
        if events:
            office.post.announce(events)  # What speaks to the broker takes long to import.
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
        if events:
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
