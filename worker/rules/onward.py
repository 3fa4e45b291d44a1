"""Pure: which step a worker takes at once of a job that it has in hand, without a message to itself."""

from dataclasses import dataclass, fields, replace
from datetime import timedelta

from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Step
from worker.rules.outcome import Change, Hold, Learnt, Limited, Outcome, known


@dataclass(frozen=True)
class Lease:
    """How long a worker has a job, and the session that tells that the worker lives.

    ``needs_slot``: a request to the vendor under it has to be drawn from the budget first.
    """

    lasts: timedelta
    session: int
    needs_slot: bool = True


def goes_on(job: Job, change: Change, lease: Lease) -> bool:
    """Tell whether the next step needs nothing that the worker lacks: no wait, no turn, no slot.

    So it is with a run that was seen to be over, at a look that named its files or where the result costs nothing.
    """
    is_over = (job.state, change.state) == (JobState.PROCESSING, JobState.FETCHING)
    return is_over and change.due_in <= NOW and (is_named(change) or not lease.needs_slot)


def is_named(change: Change) -> bool:
    """Tell whether it is known where the files are: then the vendor is asked no more."""
    return bool(known(change.learnt.addresses))


GOES_ON_WITH = Step.FETCH
"""That step."""


def with_request(job: Job, change: Change) -> Change:
    """Count the request that the next step makes to the vendor, if it does: with the change, as there is no take."""
    made = known(change.learnt.requests) or job.requests
    return change if is_named(change) else replace(change, learnt=change.learnt | Learnt(requests=made + 1))


OF_END = ("metrics", "cost", "result")
"""What is known of a run that is over, whatever becomes of its job."""

LONG = ("addresses", *OF_END)
"""Columns that are written with the end alone where it comes at once; if it does not, the vendor is asked again."""


def without_long(change: Change) -> Change:
    """Return what is written of a change whose worker goes on."""
    short = {name: value for name, value in change.learnt.columns().items() if name not in LONG}
    return replace(change, learnt=Learnt(**short, tells_of_account=change.learnt.tells_of_account))


@dataclass(frozen=True)
class Kept:
    """A job that its worker goes on with, as it is known now, and what of that is not written yet."""

    job: Job
    unwritten: Learnt

    def with_unwritten(self, outcome: Outcome) -> Outcome:
        """Return the outcome of its next step with what was not written before."""
        if isinstance(outcome, Hold | Limited):
            return outcome
        return replace(outcome, learnt=self.unwritten | outcome.learnt)


def keep(job: Job, change: Change, version: int) -> Kept:
    """Return a job as it is after a change that its worker goes on with."""
    learnt = change.learnt.columns()
    seen = {name: value for name, value in learnt.items() if name in _SEEN}
    job = replace(job, state=change.state, version=version, attempts=0, gone_looks=0, **seen)
    return Kept(job, Learnt(**{name: value for name, value in learnt.items() if name in LONG}))


_SEEN = frozenset(each.name for each in fields(Job))
