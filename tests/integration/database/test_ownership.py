"""Who has a run is known in any writing, from releases that wrote it down in another way as well."""

from uuid import uuid4

import pytest
from sqlalchemy import text

from worker.app import App
from worker.database import ownership
from worker.database.engine import transaction
from worker.database.submissions import Answered
from worker.rules.lifecycle import FollowUp, Verdict

RUN = "0ABCDEF0-0000-4000-8000-000000000001"
CANONICAL = RUN.replace("-", "").lower()
_ADD = "INSERT INTO submissions (token, job_id, worker, {0}) VALUES (gen_random_uuid(), :job_id, 'x', {1})"
WRITTEN = {
    "by an early release": ("verdict, request_id", f"'accepted', '{RUN}'"),
    "by this one": ("verdict, request_id, run, told", f"'accepted', '{RUN}', '{CANONICAL}', '{CANONICAL}'"),
    "though it was given back": ("verdict, told", f"'unknown', '{CANONICAL}'"),
}


@pytest.mark.parametrize("written", list(WRITTEN))
def test_a_run_that_another_has_is_no_answer(app: App, accepted_job: FollowUp, written: str) -> None:
    """A submit that is answered with it has been told so, and has none."""
    columns, values = WRITTEN[written]
    token, answer = str(uuid4()), Answered(Verdict.ACCEPTED, RUN, 200)
    with transaction(app.services.engine) as connection:
        its = {"job_id": accepted_job.ticket.job_id}
        connection.execute(text(_ADD.format(columns, values)), its)
        connection.execute(text(_ADD.format("verdict", "NULL").replace("gen_random_uuid()", f"'{token}'")), its)
        assert not ownership.claim(connection, token, answer)
        seen = text(f"SELECT told, run, request_id, verdict FROM submissions WHERE token = '{token}'")
        assert tuple(connection.execute(seen).one()) == (CANONICAL, None, None, None)
        has_it = written != "though it was given back"
        assert ownership.claimed(connection, [CANONICAL]) == ({CANONICAL} if has_it else set())
        assert ownership.is_claimed(connection, RUN, str(uuid4())) is has_it
        assert bool(ownership.holder_of(connection, token, RUN)) is has_it
