"""What a person decides: ``review``, ``retry``, ``hold``, ``resume``."""

from typing import Annotated

import typer

from worker import holding, retrying, review
from worker.app import App, create_app
from worker.cli.look import JobId, job_uuid
from worker.cli.show import AsJson, err, print_json, print_table, say
from worker.comparing import MAY_BE_PAID_AGAIN
from worker.config import load_settings
from worker.database import require_schema, transaction
from worker.errors import HoldCause, InvalidMessage
from worker.lifecycle import JobState
from worker.outcome import Hold
from worker.outlook import ACCOUNT
from worker.repository import lineage, reading
from worker.tasks import send


def review_command(
    job_id: Annotated[str | None, typer.Argument(help="The job to decide; none: list them.")] = None,
    adopt: Annotated[str | None, typer.Option(help="The paid run it has at the vendor: go on with that.")] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="No run was started: submit it again.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give it up.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the jobs that nobody can tell the fate of, or decide one: --adopt REQUEST_ID, --resubmit or --fail."""
    chosen = [name for name, each in (("--adopt", adopt), ("--resubmit", resubmit), ("--fail", fail)) if each]
    if len(chosen) > 1 or bool(chosen) != bool(job_id):
        raise InvalidMessage("review", "`sam3d review JOB` takes one of --adopt REQUEST_ID, --resubmit and --fail.")
    app = _app()
    if job_id is None:
        _list(app, as_json=as_json)
    else:
        _decide(app, job_uuid(job_id), adopt, is_resubmitted=resubmit, as_json=as_json)
    app.services.close()


def _list(app: App, *, as_json: bool) -> None:
    with transaction(app.services.engine) as connection:
        rows = reading.jobs_in_review(connection)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["id", "age", "error_code", "request_id", "error_message"])


def _decide(app: App, job_id: str, adopted: str | None, *, is_resubmitted: bool, as_json: bool) -> None:
    if adopted:
        state = review.adopt(app.services, job_id, adopted, lambda follow_up: send(app, follow_up))
    elif is_resubmitted:
        state = review.resubmit(app.services, job_id, lambda follow_up: send(app, follow_up))
    else:
        state = review.give_up(app.services, job_id, lambda follow_up: send(app, follow_up))
    _show(job_id, state, as_json=as_json)


def _show(job_id: str, state: JobState, *, as_json: bool) -> None:
    if as_json:
        print_json({"job_id": job_id, "state": state})
    else:
        say(f"{job_id} {state}")


def retry(
    job_id: JobId,
    pay_again: Annotated[bool, typer.Option("--pay-again", help="Though the job was paid, or may have been.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new job in the place of one that failed or was cancelled, with the same files, metadata and key."""
    wanted = job_uuid(job_id)
    app = _app()
    new_id, follow_up = retrying.retry(app.services, wanted, pays_again=pay_again)
    send(app, follow_up)
    app.services.close()
    if as_json:
        print_json({"job_id": new_id, "retry_of": wanted, "state": JobState.ACCEPTED})
    else:
        say(new_id)


def hold(
    message: Annotated[str, typer.Option(help="Why, for whoever looks.")] = "Held by a person.",
    as_json: AsJson = False,
) -> None:
    """Stop submits: jobs wait, runs that were started go on. Only `sam3d resume` lets them go on again."""
    app = _app()
    with transaction(app.services.engine) as connection:
        events = holding.hold(connection, ACCOUNT, Hold(HoldCause.OPERATOR, message), stops_reads=False)
    app.services.outbox.announce(events)
    app.services.close()
    _show_account("held", is_changed=bool(events), as_json=as_json)


def resume(as_json: AsJson = False) -> None:
    """Let a held account go on at once, whatever held it; the vendor may stop it again.

    After the database was set back: also without having compared it with the request history.
    """
    app = _app()
    with transaction(app.services.engine) as connection:
        is_uncompared = lineage.resume(connection, ACCOUNT)
        events = holding.resume(connection, ACCOUNT)
    app.services.outbox.announce(events)
    app.services.close()
    if is_uncompared:
        err.print(f"The database was not compared with the request history: {MAY_BE_PAID_AGAIN}.", highlight=False)
    _show_account("resumed", is_changed=bool(events) or is_uncompared, as_json=as_json)


def _show_account(word: str, *, is_changed: bool, as_json: bool) -> None:
    if as_json:
        print_json({"account": ACCOUNT, "is_changed": is_changed})
    else:
        say(f"account {ACCOUNT} {word}" if is_changed else f"account {ACCOUNT} was so already")


def _app() -> App:
    app = create_app(load_settings(), [])
    require_schema(app.services.engine)
    return app
