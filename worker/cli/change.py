"""A job that is given up, or has another in its place: ``cancel``, ``retry``."""

from worker.cli.look import describe_job, job_uuid
from worker.cli.ready import ready_office
from worker.cli.show import print_json, say
from worker.database.engine import transaction
from worker.errors import Sam3dError
from worker.rules.lifecycle import JobState
from worker.work import cancelling, retrying
from worker.work.office import Office


def cancel(job_id: str, *, as_json: bool) -> None:
    """Give a job up: free before its submit; after it the run goes on at the vendor and is paid."""
    wanted = job_uuid(job_id)
    with ready_office() as office:
        if not cancelling.cancel(office, wanted):
            raise Sam3dError(f"Job {job_id} is {_state_of(office, wanted)}; there is nothing to cancel.")
    if as_json:
        print_json({"job_id": wanted, "state": JobState.CANCELLED})
    else:
        say(f"{wanted} cancelled")


def retry(job_id: str, *, pay_again: bool, as_json: bool) -> None:
    """Make a new job in the place of one that failed or was cancelled, with the same files, metadata and key."""
    wanted = job_uuid(job_id)
    with ready_office() as office:
        new_id, follow_up = retrying.retry(office, wanted, pays_again=pay_again)
        office.post.send(follow_up)
        state = _state_of(office, new_id)
    if as_json:
        print_json({"job_id": new_id, "retry_of": wanted, "state": state})
    else:
        say(new_id)


def _state_of(office: Office, job_id: str) -> str:
    with transaction(office.engine) as connection:
        return str(describe_job(connection, job_id)["state"])
