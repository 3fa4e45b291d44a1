"""Every interleaving of two workers, a scheduler and a fault: no double bill, no lost job, no job that is stuck.

``python -m tests.model.interleavings 3`` searches the same with three faults, in some seconds.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.model.interleavings import VENDORS, Model, Rules, Search, State, Violation
from worker.rules.lifecycle import DRIVEN_BY, JobState, Step


@cache
def searched(vendor: str, faults: int) -> Search:
    """Return what a search found; it raises at the first violation, with its shortest story."""
    search = Search(Model(VENDORS[vendor], faults))
    search.run()
    return search


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_fault_anywhere(vendor: str) -> None:
    """One run is paid at most, a final state stays, two never own a version, and an end is always within reach.

    Nobody needs to wait for a frozen worker, and no second fault has to help.
    """
    search = searched(vendor, faults=1)
    assert [search.story(state) for state in search.stuck()] == []
    assert len(search.came_from) > 500


@pytest.mark.parametrize("vendor", VENDORS)
def test_without_a_fault_the_job_gets_somewhere(vendor: str) -> None:
    """It succeeds, or, if its submit took too long and there is no history, a person is asked."""
    states = searched(vendor, faults=0).came_from
    found = {state.row.state for state in states}
    assert found == set(JobState) - {JobState.FAILED, JobState.CANCELLED, JobState.SHARING}


def test_a_run_is_adopted_and_a_submit_repeated() -> None:
    """The search does come to both: what it holds for is not nothing."""
    states = searched("history", faults=1).came_from
    paid = [state for state in states if state.row.state is JobState.SUCCEEDED]
    assert any(_was_repeated(state) for state in paid)


def _was_repeated(state: State) -> bool:
    """Tell whether the run that the job has is of a second submit."""
    return state.row.run > 0


REDRIVEN = {
    "driven_by": {**DRIVEN_BY, JobState.SUBMITTING: Step.SUBMIT},
    "taken_from": {**Rules().taken_from, Step.SUBMIT: frozenset({JobState.ACCEPTED, JobState.SUBMITTING})},
}

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "the sweep drives a submit without an answer again": (REDRIVEN, "2 runs were paid"),
    "a write does not name its version": ({"is_fenced": False}, "became"),
    "a submit is absent though no later one is listed": ({"waits_for_proof": False}, "2 runs were paid"),
    "a submit is absent though its process lives": (
        {"waits_for_process": False, "check_is_at_once": False},
        "2 runs were paid",
    ),
    "a worker that was frozen sends all the same": ({"checks_deadline": False}, "2 runs were paid"),
    "a 5xx is believed without a history": ({"has_history": False, "on_server_error": "retry"}, "2 runs were paid"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_rule_is_noticed(broken: str) -> None:
    """The search can fail: it tells how it comes to the violation."""
    changes, told = BROKEN[broken]
    search = Search(Model(replace(Rules(), **changes), faults=1))
    with pytest.raises(Violation, match=rf"{told}.*: take submit > "):
        search.run()
