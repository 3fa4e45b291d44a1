"""A job in the place of one that is over: ``retry``."""

from worker.cli.look import job_uuid
from worker.cli.office import ready_office
from worker.cli.show import print_json, say
from worker.rules.lifecycle import JobState
from worker.work import retrying


def retry(job_id: str, *, pay_again: bool, as_json: bool) -> None:
    """Make a new job in the place of one that failed or was cancelled, with the same files, metadata and key."""
    wanted = job_uuid(job_id)
    with ready_office() as office:
        new_id, follow_up = retrying.retry(office, wanted, pays_again=pay_again)
        office.post.send(follow_up)
    if as_json:
        print_json({"job_id": new_id, "retry_of": wanted, "state": JobState.ACCEPTED})
    else:
        say(new_id)
