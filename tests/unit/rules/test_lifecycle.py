"""The life of a job: whatever happens to it in whatever state is decided in one table."""

from itertools import product

import pytest

from worker.rules.lifecycle import (
    ANNOUNCED_ON,
    CURRENT_EVENT,
    DRIVEN_BY,
    LOGGED_END,
    TRANSITIONS,
    EventType,
    JobState,
    Step,
    Trigger,
    next_state,
)
from worker.work.executor import LOGGED

FINAL = {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
CELLS = list(product(JobState, Trigger))
CHANGES = {
    (state, following)
    for state, trigger in CELLS
    if (following := next_state(state, trigger)) is not None and following is not state
}


def reachable(start: JobState) -> set[JobState]:
    """Return the states that a job can come to."""
    found, fresh = {start}, {start}
    while fresh:
        fresh = {after for before, after in CHANGES if before in fresh} - found
        found |= fresh
    return found


def test_table_is_total() -> None:
    """Each state has a cell for each trigger, and nothing else has."""
    assert [(state, trigger) for state, row in TRANSITIONS.items() for trigger in row] == CELLS


@pytest.mark.parametrize("trigger", Trigger)
def test_final_states_never_move(trigger: Trigger) -> None:
    """What is over stays over, whatever is heard of it later."""
    assert {next_state(state, trigger) for state in FINAL} == {None}


@pytest.mark.parametrize("state", JobState)
def test_final_is_what_has_no_way_out(state: JobState) -> None:
    """The property and the table say the same."""
    assert state.is_final == (state in FINAL) == (set(TRANSITIONS[state].values()) == {None})


def test_each_state_can_be_reached() -> None:
    """There is no state that no job is ever in."""
    assert reachable(JobState.ACCEPTED) | reachable(JobState.SHARING) == set(JobState)


@pytest.mark.parametrize("state", [state for state in JobState if state not in FINAL])
def test_each_state_has_a_way_to_each_end(state: JobState) -> None:
    """No job is caught: from anywhere it can still succeed, fail and be cancelled."""
    assert reachable(state) >= FINAL


@pytest.mark.parametrize("state", [state for state in JobState if state not in FINAL])
def test_any_job_that_is_not_over_can_be_cancelled(state: JobState) -> None:
    """The caller may give a job up at any time."""
    assert next_state(state, Trigger.CANCELLED) is JobState.CANCELLED


def test_only_an_accepted_job_is_taken_for_a_submit() -> None:
    """There is one way into the state that costs money; who was given another's run comes back without a submit."""
    entered = {before for before, after in CHANGES if after is JobState.SUBMITTING}
    assert entered == {JobState.ACCEPTED, JobState.PROCESSING, JobState.FETCHING}
    takes = {state for state in JobState if next_state(state, Trigger.TAKEN)}
    assert takes == {JobState.ACCEPTED}
    assert [trigger for trigger in Trigger if next_state(JobState.ACCEPTED, trigger) is JobState.SUBMITTING] == [
        Trigger.TAKEN
    ]


def test_a_submit_without_an_answer_stays_where_no_step_repeats_it() -> None:
    """It is looked up; what the history can't tell is for a person, and neither is driven by a message."""
    assert next_state(JobState.SUBMITTING, Trigger.UNKNOWN) is JobState.SUBMITTING
    assert next_state(JobState.SUBMITTING, Trigger.UNTOLD) is JobState.REVIEW
    assert DRIVEN_BY[JobState.SUBMITTING] is DRIVEN_BY[JobState.REVIEW] is None


def test_no_count_of_dead_workers_ends_a_submit() -> None:
    """Whether it was paid is what has to be found out, however its worker ended."""
    killed = {state for state in JobState if next_state(state, Trigger.KILLED)}
    assert killed == {JobState.ACCEPTED, JobState.PROCESSING, JobState.FETCHING}


def test_only_a_submit_can_be_in_doubt() -> None:
    """Reads are made again; a run that is another's puts its submit in doubt, one that is never shown itself."""
    asked = {state for state in JobState if next_state(state, Trigger.UNTOLD) is JobState.REVIEW}
    with_a_run = {JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING}
    assert asked == {*with_a_run, JobState.ACCEPTED}
    doubted = {state: next_state(state, Trigger.UNKNOWN) for state in JobState}
    assert {state: after for state, after in doubted.items() if after} == dict.fromkeys(with_a_run, JobState.SUBMITTING)


@pytest.mark.parametrize("state", JobState)
def test_a_paid_run_is_gone_on_with_wherever_its_job_waits(state: JobState) -> None:
    """The answer may come in time, late, from the history or from a person; a job that has a run gets no other."""
    waits = state in {JobState.ACCEPTED, JobState.SUBMITTING, JobState.REVIEW}
    assert next_state(state, Trigger.ANSWERED) is (JobState.PROCESSING if waits else None)


@pytest.mark.parametrize(
    ("trigger", "becomes"),
    [
        (Trigger.NOT_SENT, JobState.ACCEPTED),
        (Trigger.HELD, JobState.ACCEPTED),
        (Trigger.REFUSED, JobState.FAILED),
        (Trigger.UNKNOWN, None),
    ],
)
def test_a_late_answer_closes_a_review(trigger: Trigger, becomes: JobState | None) -> None:
    """If it tells; one that does not leaves it to the person."""
    assert next_state(JobState.REVIEW, trigger) is becomes


@pytest.mark.parametrize("state", [JobState.PROCESSING, JobState.FETCHING])
def test_a_paid_run_is_never_submitted_again(state: JobState) -> None:
    """No way leads from a run that is going on straight back to a submit."""
    assert JobState.ACCEPTED not in TRANSITIONS[state].values()


def test_each_state_says_what_it_waits_for() -> None:
    """Each state has a step or none, and each step a state."""
    assert set(DRIVEN_BY) == set(JobState)
    assert {step for step in DRIVEN_BY.values() if step} == set(Step)
    assert not any(DRIVEN_BY[state] for state in (*FINAL, JobState.REVIEW, JobState.SUBMITTING))


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (JobState.SUCCEEDED, EventType.SUCCEEDED),
        (JobState.FAILED, EventType.FAILED),
        (JobState.CANCELLED, EventType.CANCELLED),
        (JobState.REVIEW, EventType.REVIEW),
        (JobState.PROCESSING, EventType.SUBMITTED),
    ],
)
def test_what_a_sender_waits_for_is_announced(state: JobState, event: EventType) -> None:
    """However a job comes to one of these states, it is announced."""
    ways = {change for change in CHANGES if change[1] is state}
    assert {ANNOUNCED_ON.get(change) for change in ways} == {event}


@pytest.mark.parametrize("state", [JobState.ACCEPTED, JobState.SUBMITTING, JobState.FETCHING])
def test_what_is_nobodys_business_is_not_announced(state: JobState) -> None:
    """The steps in between are ours."""
    assert not any(change in ANNOUNCED_ON for change in CHANGES if change[1] is state)


@pytest.mark.parametrize("state", JobState)
def test_staying_is_not_announced(state: JobState) -> None:
    """A look at a run that goes on is no event."""
    assert (state, state) not in ANNOUNCED_ON


@pytest.mark.parametrize("state", JobState)
def test_a_duplicate_is_told_where_its_job_is(state: JobState) -> None:
    """Each state has an event that tells of it; of a final one, the same that announced it."""
    assert set(CURRENT_EVENT) == set(JobState)
    announced = {event for change, event in ANNOUNCED_ON.items() if change[1] is state}
    assert announced <= {CURRENT_EVENT[state]}


def test_every_step_has_a_line_in_the_log() -> None:
    """One that ends its job has the end's; any other says what became of the job."""
    taken = (JobState.SUBMITTING, JobState.PROCESSING, JobState.FETCHING)
    reports = {(state, trigger): next_state(state, trigger) for state, trigger in product(taken, Trigger)}
    assert {cell for cell, following in reports.items() if following and following not in LOGGED_END} == set(LOGGED)
    assert {*FINAL, JobState.REVIEW} == set(LOGGED_END)
    assert "job_submitted" not in [name for cell, name in LOGGED.items() if cell[1] is not Trigger.ANSWERED]
