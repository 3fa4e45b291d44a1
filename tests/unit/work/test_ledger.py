"""The ledger has a word for whatever a submit can report."""

from worker.rules.lifecycle import JobState, Trigger, next_state
from worker.work import ledger


def test_each_answer_to_a_submit_has_a_verdict() -> None:
    """The ledger has a word for whatever a submit can report."""
    by_others = {Trigger.UNTOLD, Trigger.CANCELLED}
    possible = {trigger for trigger in Trigger if next_state(JobState.SUBMITTING, trigger)} - by_others
    assert set(ledger.VERDICTS) == possible
    assert len(set(ledger.VERDICTS.values())) == len(possible)
