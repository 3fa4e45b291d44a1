"""What a person decides: ``review``, ``retry``, ``cancel``, ``hold``, ``resume``."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from worker import holding, intake, retrying, review
from worker.app import App
from worker.cli.look import describe_job, job_uuid
from worker.cli.opened import open_app
from worker.cli.show import note, print_json, print_table, say
from worker.comparing import MAY_BE_PAID_AGAIN
from worker.database import transaction
from worker.errors import HoldCause, InvalidMessage, Sam3dError
from worker.lifecycle import FollowUp, JobState, Verdict
from worker.outcome import Hold
from worker.outlook import ACCOUNT
from worker.repository import lineage, reading
from worker.repository.reading import Reviewed, Rows
from worker.schema import require_schema
from worker.tasks import send


def review_command(
    job_id: str | None,
    chosen: Sequence[str],
    adopt: str | None,
    which: Reviewed,
    *,
    is_all: bool,
    is_sure: bool,
    as_json: bool,
) -> None:
    """List the jobs that nobody can tell the fate of, or decide one, or all of some kind."""
    if len(chosen) > 1 or bool(chosen) != (bool(job_id) or is_all) or (job_id and is_all):
        raise InvalidMessage(
            "review", "`sam3d review JOB`, or `--all`, takes one of --adopt REQUEST_ID, --resubmit and --fail."
        )
    if is_all and adopt not in (None, "known"):
        raise InvalidMessage("adopt", "`--all` takes `--adopt known`: each goes on with the run that it has.")
    app = _app()
    if job_id:
        _decide(app, job_uuid(job_id), adopt, is_resubmitted="--resubmit" in chosen, as_json=as_json)
    elif is_all and is_sure:
        _decide_all(app, which, chosen[0], as_json=as_json)
    else:
        _list(app, which, chosen, as_json=as_json)
    app.services.close()


def chosen_by(code: str | None, older_than: float | None, last: Verdict | None, limit: int | None) -> Reviewed:
    """Say which of the jobs in review are meant; the age is in seconds."""
    return Reviewed(code, None if older_than is None else timedelta(seconds=older_than), last, limit)


_SHOWN = ["id", "age", "error_code", "last_submit", "http_status", "request_id", "error_message"]


def _list(app: App, which: Reviewed, chosen: Sequence[str], *, as_json: bool) -> None:
    rows = _in_review(app, which, chosen[0] if chosen else None)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, _SHOWN, "jobs in review")
    if chosen:
        note(f"{len(rows)} jobs would be decided with {chosen[0]}; --yes does it.")


def _in_review(app: App, which: Reviewed, decision: str | None) -> Rows:
    """List the jobs that a decision is possible for: one with a run is not resubmitted, one without not adopted."""
    has_run = {"--adopt": True, "--resubmit": False}.get(decision or "")
    with transaction(app.services.engine) as connection:
        return reading.jobs_in_review(connection, replace(which, has_run=has_run))


def _decide_all(app: App, which: Reviewed, decision: str, *, as_json: bool) -> None:
    runs = {str(row["id"]): row["request_id"] for row in _in_review(app, which, decision)}
    became = review.decide_all(
        list(runs),
        lambda job_id: _decided(app, job_id, runs[job_id] if decision == "--adopt" else None, decision == "--resubmit"),
    )
    if as_json:
        print_json([{"job_id": job_id, "result": result} for job_id, result in became.items()])
    else:
        print_table([{"id": job_id, "result": result} for job_id, result in became.items()], ["id", "result"])


def _decide(app: App, job_id: str, adopted: str | None, *, is_resubmitted: bool, as_json: bool) -> None:
    _show(job_id, _decided(app, job_id, adopted, is_resubmitted), as_json=as_json)


def _decided(app: App, job_id: str, adopted: str | None, is_resubmitted: bool) -> JobState:
    def deliver(follow_up: FollowUp) -> object:
        return send(app, follow_up)

    if adopted:
        return review.adopt(app.services, job_id, adopted, deliver)
    if is_resubmitted:
        return review.resubmit(app.services, job_id, deliver)
    return review.give_up(app.services, job_id, deliver)


def _show(job_id: str, state: JobState, *, as_json: bool) -> None:
    if as_json:
        print_json({"job_id": job_id, "state": state})
    else:
        say(f"{job_id} {state}")


def retry(job_id: str, *, pay_again: bool, as_json: bool) -> None:
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


def cancel(job_id: str, *, as_json: bool) -> None:
    """Give a job up: free before its submit; after it the run goes on at the vendor and is paid."""
    wanted = job_uuid(job_id)
    app = _app()
    if not intake.cancel(app.services, wanted):
        with transaction(app.services.engine) as connection:
            state = describe_job(connection, wanted)["state"]
        raise Sam3dError(f"Job {job_id} is {state}; there is nothing to cancel.")
    app.services.close()
    if as_json:
        print_json({"job_id": wanted, "state": JobState.CANCELLED})
    else:
        say(f"{wanted} cancelled")


def hold(message: str, *, as_json: bool) -> None:
    """Stop submits: jobs wait, runs that were started go on. Only `sam3d resume` lets them go on again."""
    app = _app()
    with transaction(app.services.engine) as connection:
        events = holding.hold(connection, ACCOUNT, Hold(HoldCause.OPERATOR, message), stops_reads=False)
        causes = [str(each["held_cause"]) for each in reading.held_accounts(connection)]
    app.services.outbox.announce(events)
    app.services.close()
    _show_account("held", causes, is_changed=bool(events), as_json=as_json)


def resume(*, as_json: bool) -> None:
    """Let a held account go on at once, whatever held it; the vendor may stop it again.

    After the database was set back: also without having compared it with the request history.
    """
    app = _app()
    with transaction(app.services.engine) as connection:
        causes = [str(each["held_cause"]) for each in reading.held_accounts(connection)]
        is_uncompared = lineage.resume(connection, ACCOUNT)
        events = holding.lift(connection, ACCOUNT)
    app.services.outbox.announce(events)
    app.services.close()
    if is_uncompared:
        note(f"The database was not compared with the request history: {MAY_BE_PAID_AGAIN}.")
    _show_account("resumed", causes, is_changed=bool(events) or is_uncompared, as_json=as_json)


def _show_account(word: str, causes: list[str], *, is_changed: bool, as_json: bool) -> None:
    """Say whether the account was stopped or let go on, and for what it is or was stopped."""
    if as_json:
        print_json({"account": ACCOUNT, "is_changed": is_changed, "causes": causes})
    else:
        why = f" ({', '.join(causes)})" if causes else ""
        say(f"account {ACCOUNT} {word}{why}" if is_changed else f"account {ACCOUNT} was so already{why}")


def _app() -> App:
    app = open_app()
    require_schema(app.services.engine)
    return app
