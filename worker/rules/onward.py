"""Pure: which step a worker takes at once of a job that it has in hand: no message to itself, and no commit between."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TypeGuard

from worker.rules.job import Job
from worker.rules.lifecycle import NOW, JobState, Step, Trigger
from worker.rules.outcome import Advance, Fail, Learnt, Outcome, known

GOES_ON_WITH = Step.FETCH
"""That step; a poll is what it comes after."""


def in_one_go(step: Step, done: Collection[str]) -> Sequence[Step]:
    """Return the steps for which a job is taken that is taken for one; ``done`` is what its worker does at all."""
    return (step, GOES_ON_WITH) if step is Step.POLL and GOES_ON_WITH in done else (step,)


@dataclass(frozen=True)
class Kept:
    """A job that its worker goes on with: as it was taken, what its poll came to, and as it is known with that.

    Nothing of it is written before its next step has come to something.
    """

    taken: Job
    polled: Advance
    job: Job

    def with_end(self, outcome: Outcome) -> Outcome | None:
        """Return the end of the job with what its poll found, or None if it does not end: each is written then."""
        if not isinstance(outcome, Advance | Fail):
            return None
        return replace(outcome, learnt=self.polled.learnt | outcome.learnt)


def is_over(outcome: Outcome) -> TypeGuard[Advance]:
    """Tell whether a look found that a run has completed."""
    return isinstance(outcome, Advance) and outcome.trigger is Trigger.COMPLETED


def goes_on(job: Job, polled: Advance) -> bool:
    """Tell whether the next step of a run that is over can be taken at once, if it needs no slot or has one.

    What the look tells of an account in trouble, or taught of the vendor, is not kept back until the files are there.
    """
    return polled.due_in <= NOW and not job.is_in_trouble and polled.lesson is None


def is_named(polled: Advance) -> bool:
    """Tell whether it is known where the files are: then the vendor is asked no more."""
    return bool(known(polled.learnt.addresses))


def keep(job: Job, polled: Advance, after: timedelta) -> Kept:
    """Keep a job whose run was seen to be over so long ``after`` it was taken.

    The request that its next step makes to the vendor, if it does, is counted now, as there is no take.
    """
    learnt = polled.learnt | Learnt(completed_at=job.observed_at + after)
    if not is_named(polled):
        learnt |= Learnt(requests=(known(learnt.requests) or job.requests) + 1)
    seen = {name: value for name, value in learnt.columns().items() if name in _SEEN}
    known_now = replace(job, state=JobState.FETCHING, attempts=0, gone_looks=0, **seen)
    return Kept(job, replace(polled, learnt=learnt), known_now)


_SEEN = frozenset(each.name for each in fields(Job))
