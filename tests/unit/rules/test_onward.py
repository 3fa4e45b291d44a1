"""Which step a worker takes at once of a job that it has in hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.errors import HoldCause
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, JobState, Trigger
from worker.rules.onward import GOES_ON_WITH, Lease, goes_on, keep, with_request, without_long
from worker.rules.outcome import NOTHING, Advance, Fail, Hold, Learnt, Limited, Outcome, Snooze, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLLED = Job("job", "default", JobState.PROCESSING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)
FETCHED = replace(POLLED, state=JobState.FETCHING)
SUBMITTED = replace(POLLED, state=JobState.SUBMITTING, request_id=None)
SECOND = timedelta(seconds=1)
LEASE = Lease(SECOND, 1)
FREE = replace(LEASE, needs_slot=False)
NAMED = Learnt(addresses=["https://files/model.glb"])


def test_a_run_that_is_over_is_fetched_by_whoever_saw_it() -> None:
    """Its files were named with it, so nobody is to be asked; or the request needs no slot, and is counted."""
    named = decide(POLLED.state, 0, Advance(Trigger.COMPLETED, learnt=NAMED))
    assert goes_on(POLLED, named, LEASE)
    assert DRIVEN_BY[named.state] is GOES_ON_WITH
    assert with_request(POLLED, named) == named
    unnamed = decide(POLLED.state, 0, Advance(Trigger.COMPLETED))
    assert goes_on(POLLED, unnamed, FREE)
    assert with_request(replace(POLLED, requests=1), unnamed).learnt.requests == 2


@pytest.mark.parametrize("learnt", [NOTHING, Learnt(addresses=[])])
def test_a_result_that_is_to_be_asked_for_waits_for_its_slot(learnt: Learnt) -> None:
    """Where reads draw from the budget."""
    assert not goes_on(POLLED, decide(POLLED.state, 0, Advance(Trigger.COMPLETED, learnt=learnt)), LEASE)


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        (POLLED, Advance(Trigger.COMPLETED, SECOND, NAMED)),
        (POLLED, Snooze(SECOND, "the run")),
        (POLLED, Fail(Trigger.ENDED, "code", "message")),
        (POLLED, Hold(HoldCause.KEY, "refused")),
        (POLLED, Limited(SECOND, is_told=True, closes_reads=True)),
        (FETCHED, Snooze(timedelta(0), "a file", learnt=NAMED)),
        (FETCHED, Advance(Trigger.STORED)),
        (SUBMITTED, Advance(Trigger.ANSWERED, learnt=Learnt(request_id="run"))),
    ],
)
def test_everything_else_waits_for_its_message(job: Job, outcome: Outcome) -> None:
    """A try that failed needs time, and whoever is not over is looked at again."""
    assert not goes_on(job, decide(job.state, 0, outcome), FREE)


def test_what_is_long_is_kept_for_the_end() -> None:
    """It is known meanwhile, and goes with whatever the end is, where that says nothing newer."""
    learnt = NAMED | Learnt(metrics={"cost": 0.06}, cost=0.06, result={"body": {}}, polls=3, tells_of_account=True)
    change = decide(POLLED.state, 0, Advance(Trigger.COMPLETED, learnt=learnt))
    assert without_long(change).learnt == Learnt(polls=3, tells_of_account=True)
    kept = keep(POLLED, change, 9)
    assert (kept.job.version, kept.job.polls, kept.job.addresses) == (9, 3, NAMED.addresses)
    put_off = kept.with_unwritten(Snooze(SECOND, "a file", learnt=Learnt(addresses=None)))
    assert isinstance(put_off, Snooze)
    assert put_off.learnt == Learnt(addresses=None, metrics={"cost": 0.06}, cost=0.06, result={"body": {}})
    held = Hold(HoldCause.KEY, "refused")
    assert kept.with_unwritten(held) == held
