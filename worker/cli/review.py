"""The jobs that a person decides: ``review``."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from worker.cli.look import job_uuid
from worker.cli.ready import ready_office
from worker.cli.show import note, print_json, print_table, say
from worker.database import reading
from worker.database.engine import transaction
from worker.database.reading import Reviewed, Rows
from worker.errors import InvalidMessage
from worker.rules.lifecycle import JobState, Verdict
from worker.work import decisions
from worker.work.office import Office


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
    with ready_office() as office:
        if job_id:
            _decide(office, job_uuid(job_id), adopt, is_resubmitted="--resubmit" in chosen, as_json=as_json)
        elif is_all and is_sure:
            _decide_all(office, which, chosen[0], as_json=as_json)
        else:
            _list(office, which, chosen, as_json=as_json)


def chosen_by(code: str | None, older_than: float | None, last: Verdict | None, limit: int | None) -> Reviewed:
    """Say which of the jobs in review are meant; the age is in seconds."""
    return Reviewed(code, None if older_than is None else timedelta(seconds=older_than), last, limit)


_SHOWN = ["id", "age", "error_code", "last_submit", "http_status", "request_id", "error_message"]


def _list(office: Office, which: Reviewed, chosen: Sequence[str], *, as_json: bool) -> None:
    rows = _in_review(office, which, chosen[0] if chosen else None)
    if as_json:
        print_json(rows)
    else:
        print_table(rows, _SHOWN, "jobs in review")
    if chosen:
        note(f"{len(rows)} jobs would be decided with {chosen[0]}; --yes does it.")


def _in_review(office: Office, which: Reviewed, decision: str | None) -> Rows:
    """List the jobs that a decision is possible for: one with a run is not resubmitted, one without not adopted."""
    has_run = {"--adopt": True, "--resubmit": False}.get(decision or "")
    with transaction(office.engine) as connection:
        return reading.jobs_in_review(connection, replace(which, has_run=has_run))


def _decide_all(office: Office, which: Reviewed, decision: str, *, as_json: bool) -> None:
    runs = {str(row["id"]): row["request_id"] for row in _in_review(office, which, decision)}
    adopted = runs if decision == "--adopt" else {}
    became = decisions.decide_all(
        list(runs), lambda job_id: _decided(office, job_id, adopted.get(job_id), decision == "--resubmit")
    )
    if as_json:
        print_json([{"job_id": job_id, "result": result} for job_id, result in became.items()])
    else:
        print_table([{"id": job_id, "result": result} for job_id, result in became.items()], ["id", "result"])


def _decide(office: Office, job_id: str, adopted: str | None, *, is_resubmitted: bool, as_json: bool) -> None:
    _show(job_id, _decided(office, job_id, adopted, is_resubmitted), as_json=as_json)


def _decided(office: Office, job_id: str, adopted: str | None, is_resubmitted: bool) -> JobState:
    if adopted:
        return _adopted(office, job_id, adopted)
    if is_resubmitted:
        return decisions.resubmit(office, job_id)
    return decisions.give_up(office, job_id)


def _adopted(office: Office, job_id: str, request_id: str) -> JobState:
    from worker.vendor.api import Vendor  # Nothing else that a person decides is asked of the vendor.

    vendor = Vendor(office.settings)
    try:
        return decisions.adopt(office, job_id, request_id, partial(vendor.listed, wants_all=False))
    finally:
        vendor.close()


def _show(job_id: str, state: JobState, *, as_json: bool) -> None:
    if as_json:
        print_json({"job_id": job_id, "state": state})
    else:
        say(f"{job_id} {state}")
