"""What indexes know of a job's state is what its state says."""

from sqlalchemy import select, text

from worker.app import App
from worker.database.engine import transaction
from worker.database.phases import Phase
from worker.database.tables import is_live, jobs
from worker.rules.lifecycle import JobState

_ADD = """
INSERT INTO jobs (id, state, fingerprint, request_id, error_code, shares)
SELECT id, :state, '', :state, 'x', id FROM gen_random_uuid() AS id
"""
PHASES = {
    JobState.ACCEPTED: Phase.WAITING,
    JobState.SUBMITTING: Phase.UNDER_WAY,
    JobState.PROCESSING: Phase.UNDER_WAY,
    JobState.FETCHING: Phase.UNDER_WAY,
    JobState.SUCCEEDED: Phase.SUCCEEDED,
    JobState.FAILED: None,
    JobState.CANCELLED: None,
}


def test_each_state_has_its_phase(app: App) -> None:
    """Only an accepted job waits until a time; one that is final is not live."""
    with transaction(app.services.engine) as connection:
        for state in JobState:
            connection.execute(text(_ADD), {"state": state})
        shown = (jobs.c.state, jobs.c.phase, jobs.c.waits_until == jobs.c.sweep_at, is_live)
        seen = {JobState(state): rest for state, *rest in connection.execute(select(*shown))}
    for state in JobState:
        waits = True if state is JobState.ACCEPTED else None
        is_now = None if PHASES.get(state, Phase.LATER) is None else not state.is_final
        assert seen[state] == [PHASES.get(state, Phase.LATER), waits, is_now]
