"""Pure: the arithmetic of the request budget: how far apart requests are, what one is worth, what a 429 teaches.

The vendor counts requests by the minute, by which clock is not known: so they are spread evenly over each minute.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from worker.rules.lifecycle import MINUTE, NOW, Step
from worker.rules.plan import PROMPT, Plan

EARLY, LATE = timedelta(seconds=0.25), timedelta(seconds=1)
"""How far a request may be from its slot: a message waits whole seconds, and one that comes a little early counts."""

PATIENCE = 0.35
"""Of a run: so late a job that is under way may be for the sake of those that wait for the budget."""

DEAREST = 0.45
"""Of a run: the most that a request is worth, so that a job takes about 2.5 of them where many wait."""

BESIDE = 0.125
"""So much of each other run that is polled a request delays: most are not due within the slots after it. Where nobody
waits any more, runs are looked at sooner, and slots are used that would be lost (simulated)."""

OVERBOOKED = 3.0
"""Submits are let through as if the budget were so much larger: a slot that nothing was there for is lost, and what is
too much waits in the queue, which then lets no submit through. More makes jobs come in waves (simulated)."""

LEAST_BULK = 5
"""Polls that are due from which on a page of the request history is worth it: it is more bytes than fewer answers."""

LIKELY = 0.5
"""The chance that a run has ended, from which on a look at it is likely to be the last."""

LOWERED, HALVED = 0.9, 0.5
RISE = 0.01
"""Of the limit that is set, by which the learnt one rises a minute."""


class Kind(StrEnum):
    """What a request was for; the first three are the steps' own words."""

    SUBMIT = "submit"
    POLL = "poll"
    FETCH = "fetch"
    PROBE = "probe"
    HISTORY = "history"  # A page in place of many polls: the account's host is another, so it takes no slot.
    LIMITED = "limited"  # Whatever it was for, it was answered with 429.


@dataclass(frozen=True)
class Terms:
    """What a process goes by, for some seconds: when runs are looked at, and what the account's budget allows.

    ``limit`` is in requests a minute; None: none is set, so nothing is drawn. ``reads_count`` None: it is not known,
    so it is assumed. ``single_look``: a look at a result also tells that a run goes on; None: that is not known.
    ``bulk_look``: pages of the request history take the place of most polls.
    """

    plan: Plan
    limit: float | None = None
    reads_count: bool | None = None
    single_look: bool | None = False
    bulk_look: bool = False

    def looks_at_result(self, age: timedelta) -> bool:
        """Whether a run of this age is looked at where its result is.

        Where nobody knows what that answers meanwhile, only a look that is likely to be the last one tries it.
        """
        return self.plan.chance_of_end(age) >= LIKELY if self.single_look is None else self.single_look

    @property
    def slot(self) -> timedelta | None:
        """The time from one request to the next."""
        return slot_of(self.limit) if self.limit else None

    def draws_for(self, step: Step) -> bool:
        """Whether a step's request needs a slot."""
        return self.limit is not None and (step is Step.SUBMIT or self.reads_count is not False)

    @property
    def queue(self) -> timedelta:
        """The longest queue of drawn slots at which a submit gets one as well."""
        return PATIENCE * self.plan.typical

    @property
    def requests(self) -> float:
        """The slots that a job takes: its submit, its polls, and its result unless the last poll was that."""
        if self.reads_count is False:
            return 1
        if self.bulk_look:
            return 1 + 1 / LEAST_BULK
        return self.plan.polls + (1 if self.single_look else 2)

    @property
    def together(self) -> timedelta:
        """The span within which submits count together, as their polls will fall on the same time."""
        return self.plan.typical / 3

    @property
    def most_together(self) -> int:
        """The most jobs submitted within that span whose polls can be afforded; one at least."""
        if self.slot is None:
            raise ValueError("Without a limit nothing is counted.")
        return max(1, int(OVERBOOKED * self.together / (self.slot * self.requests)))


class Margin(NamedTuple):
    """From which next slot to which one a submit can be afforded, as those that go together were counted.

    Each draw since then has moved the next slot on, so it holds whoever has drawn, for whatever: a slot counts as a
    submit. It ends by itself, as slots pass that nobody draws. A next slot before it tells of a clock that went back.
    """

    begins_at: datetime
    ends_at: datetime


NO_MARGIN = Margin(datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))
"""Where nothing was counted yet."""


def slot_of(limit: float) -> timedelta:
    """Return a slot: the time from one request to the next that keeps within the limit; limit 60: 1.02 s."""
    return (MINUTE + EARLY + LATE) / limit


def price(waiting: int, polled: int, slot: timedelta | None, typical: timedelta) -> timedelta:
    """Return the price of a request: it delays each job that waits by a slot; 3 wait, a slot of 1 s: 3 s.

    So it does a few of the other runs that are polled under it. At most a share of a run: a job that is under way wants
    its result as well.
    """
    delayed = waiting + max(0, polled - 1) * BESIDE
    return max(PROMPT, min(delayed * (slot or NOW), DEAREST * typical))


def limit_now(limit: int, learnt: float | None, age: timedelta) -> float:
    """Return the limit to go by: what was learnt some time ago has risen since, up to what is set."""
    return limit if learnt is None else min(limit, learnt + limit * RISE * (max(age, NOW) / MINUTE))


def lowered(limit: float, opens_in: timedelta, *, is_told: bool) -> float:
    """Return the limit that a 429 teaches: where the end of its minute is known, what went through before."""
    share = (MINUTE - opens_in) / MINUTE if is_told and opens_in < MINUTE else LOWERED
    return max(1.0, limit * min(max(share, HALVED), LOWERED))
