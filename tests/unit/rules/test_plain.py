"""Whether a change is of its job alone, so that one statement can write all that goes with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from worker.errors import HoldCause
from worker.rules.job import Job
from worker.rules.lifecycle import ANNOUNCED_ON, JobState, Trigger, next_state
from worker.rules.outcome import Advance, Change, Doubt, Fail, Hold, Learnt, Lesson, Limited, Outcome, Snooze, decide
from worker.rules.plain import is_plain_answer, is_plain_end

NOW = datetime(2026, 1, 1, tzinfo=UTC)
READ = Job("job", "default", JobState.FETCHING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)
SENT = replace(READ, state=JobState.SUBMITTING, request_id=None, token="token")
SECOND = timedelta(seconds=1)
ANSWER = Advance(Trigger.ANSWERED, learnt=Learnt(request_id="run"))
STORED = Advance(Trigger.STORED)
ENDED = Fail(Trigger.ENDED, "code", "message")


def _is_plain(job: Job, outcome: Outcome) -> tuple[bool, bool]:
    change = decide(job.state, 0, outcome)
    return is_plain_answer(job, change), is_plain_end(job, change)


def test_most_answers_and_ends_are_plain() -> None:
    """A run was started; its files are stored; it failed."""
    assert _is_plain(SENT, ANSWER) == (True, False)
    assert _is_plain(READ, STORED) == (False, True)
    assert _is_plain(READ, ENDED) == (False, True)
    assert _is_plain(replace(READ, state=JobState.PROCESSING), ENDED) == (False, True)


@pytest.mark.parametrize(
    ("job", "outcome"),
    [
        pytest.param(replace(SENT, is_shared=True), ANSWER, id="an answer for several jobs"),
        pytest.param(replace(READ, is_shared=True), STORED, id="an end of several jobs"),
        pytest.param(SENT, Advance(Trigger.ANSWERED), id="an answer that names no run"),
        pytest.param(SENT, replace(ENDED, trigger=Trigger.REFUSED), id="a refusal, which the ledger hears of"),
        pytest.param(SENT, Doubt("nothing came"), id="no answer"),
        pytest.param(SENT, Snooze(SECOND, "not sent"), id="nothing was sent"),
        pytest.param(SENT, Limited(SECOND, is_told=True, closes_reads=False), id="a limit"),
        pytest.param(SENT, Hold(HoldCause.CREDITS, "no credits"), id="a hold"),
        pytest.param(READ, Hold(HoldCause.KEY, "refused"), id="a hold of reads"),
        pytest.param(READ, replace(ENDED, trigger=Trigger.UNTOLD), id="a person is asked"),
        pytest.param(READ, Snooze(SECOND, "later"), id="it goes on"),
        pytest.param(replace(READ, kept={"at": "model.glb"}), STORED, id="a file was stored before"),
        pytest.param(READ, replace(ENDED, lesson=Lesson(single_look=True)), id="something was learnt of the vendor"),
    ],
)
def test_whatever_concerns_others_is_not(job: Job, outcome: Outcome) -> None:
    """Nor what is no answer and no end."""
    assert _is_plain(job, outcome) == (False, False)


def test_what_is_plain_is_announced() -> None:
    """In whatever state its job is."""
    for state, trigger, token in product(JobState, Trigger, (None, "token")):
        job, becomes = replace(READ, state=state, token=token), next_state(state, trigger)
        if becomes is None:
            continue
        change = Change(trigger, becomes, SECOND, Learnt(request_id="run"))
        if is_plain_answer(job, change) or is_plain_end(job, change):
            assert (state, becomes) in ANNOUNCED_ON
