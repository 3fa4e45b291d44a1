"""Pure: what the request history says of a submit that got no answer: its run, that there is none, or neither."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from worker.rules.habits import (
    CLOCKS_DIFFER,
    FILLED_WITHIN,
    Clock,
    Clocks,
    Form,
    Likeness,
    Pair,
    Sent,
    is_part,
    learn_clocks,
    learn_form,
    mixed_up,
)
from worker.rules.naming import Names, is_placed, urls_of
from worker.rules.proof import Doubted, Finding, Gap, Proof, Window
from worker.rules.run import Inputs, Listed, Look

_ONE_HOUR = timedelta(hours=1)
_UNKNOWN_CLOCK = Clock(timedelta(0), CLOCKS_DIFFER)

NOTHING_TAKEN: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Evidence:
    """Everything that doubted submits are judged by."""

    look: Look
    answered: Sequence[Sent]  # Submits that were answered with a run, of the time that the look covers.
    unanswered: Sequence[Sent]  # All others of the time that may have started one.
    claimed: frozenset[str]  # Runs that a job or a submit has.
    now: datetime
    settle: timedelta

    def without(self, released: Sequence[Sent]) -> "Evidence":
        """Return the same evidence after some submits gave the runs of others back: they have no answer that tells."""
        runs = {each.run for each in released}
        return replace(
            self,
            answered=[each for each in self.answered if each.run not in runs],
            unanswered=[*self.unanswered, *(replace(each, run=None) for each in released)],
            claimed=self.claimed - runs,
        )

    def judge(self, doubted: Doubted, taken: frozenset[str] = NOTHING_TAKEN) -> Proof:
        """Say what became of a submit; "can't tell" is the answer unless everything is proven.

        ``taken`` are runs that were found for others by the same look.
        """
        compare = self._comparing(doubted.inputs, doubted.addresses)
        compared = [(row, compare(row)) for row in self.free if row.run not in taken]
        alike = [row for row, likeness in compared if likeness is Likeness.SAME]
        if found := self._own(doubted, alike):
            return Proof(Finding.FOUND, request=found, made_at=self._clock(found).ours(found))
        strays = [row for row, likeness in compared if self._may_be(doubted, row, likeness)]
        later = [pair for pair in self.pairs if pair.sent.intended_at >= doubted.over_at]
        is_proven = any(self._proves(pair, doubted) for pair in later)
        unproven = [] if is_proven else later
        gaps = (
            (Gap.UNREAD, not self.look.is_complete),
            (Gap.NOT_WRITTEN, doubted.inputs is None),
            (Gap.LIVES, not doubted.is_over),
            (Gap.MAY_LAND, self.now < doubted.over_at + self.settle),
            (Gap.UNFILLED, any(self._will_tell(doubted.inputs, row) for row in (*alike, *strays))),
            (Gap.TWIN, bool(alike)),
            (Gap.STRAY, bool(strays)),
            (Gap.MISSING, any(self._is_missing(each) for each in self.answered)),
            (Gap.WAS_ABSENT, doubted.was_absent),
            (Gap.UNFILLED, any(self._will_tell(pair.sent.inputs, pair.row) for pair in unproven)),
            (Gap.NO_LATER_SUBMIT, not is_proven),
        )
        gap = next((gap for gap, is_so in gaps if is_so), None)
        return Proof(Finding.OPEN, gap) if gap else Proof(Finding.ABSENT)

    # What is learnt from the rows of submits that were answered.

    @cached_property
    def _all_pairs(self) -> list[Pair]:
        listed = [(each, self.look.requests.get(each.run or "")) for each in self.answered]
        return [Pair(each, row) for each, row in listed if row and row.inputs is not None]

    @cached_property
    def mixed_up(self) -> list[Pair]:
        """The submits that were answered with the run of another: its row shows what they did not send."""
        return mixed_up(self._all_pairs, self.unanswered)

    @cached_property
    def pairs(self) -> list[Pair]:
        """The submits that were answered with their own run, with its row: what rows show is learnt from them."""
        return [pair for pair in self._all_pairs if pair not in self.mixed_up]

    @cached_property
    def form(self) -> Form:
        """How rows show what was sent; one that shows nothing so far tells nothing of it."""
        return learn_form([pair for pair in self.pairs if pair.shown or not self.may_be_filled(pair.row)])

    @cached_property
    def names(self) -> Names:
        """Which rows name a submit of ours by the address that it sent."""
        return Names.of([*self.answered, *self.unanswered], self.pairs)

    @cached_property
    def clocks(self) -> Clocks:
        """How far the times of rows are ahead of ours."""
        return learn_clocks(self.pairs)

    @cached_property
    def free(self) -> Sequence[Listed]:
        """The runs of our user and model that are nobody's, or are had by a job that they were not made for."""
        has = self.claimed - {pair.row.run for pair in self.mixed_up}
        claimed = [self.look.requests[each] for each in has if each in self.look.requests]
        users = {each.user for each in claimed} - {None}
        models = {pair.row.model for pair in self.pairs}
        return [
            row
            for row in self.look.requests.values()
            if row.run not in has
            and (not users or row.user is None or row.user in users)
            and (not models or row.model is None or row.model in models)
        ]

    def may_be_filled(self, row: Listed) -> bool:
        """Tell whether a row may come to show more than it does: it is new, or nobody knows how old it is."""
        return row.has_zone not in self.clocks or self.now < self._clock(row).ours(row) + FILLED_WITHIN

    def _may_become(self, sent: Inputs | None, row: Listed) -> bool:
        """Tell whether a row shows less than was sent, so far."""
        seen = row.seen_by(sent or {})
        return sent is not None and seen is not None and self.may_be_filled(row) and is_part(seen, sent)

    def _will_tell(self, sent: Inputs | None, row: Listed) -> bool:
        """Tell whether a row lacks what was sent, and is known to be so new that this may still come."""
        return row.has_zone in self.clocks and self._may_become(sent, row)

    # Found: a run of these inputs, in the time of the submit, that can be nobody else's.

    def _own(self, doubted: Doubted, alike: Sequence[Listed]) -> Listed | None:
        """Return the oldest run that is this submit's, or may as well be: one of the same inputs is as good."""
        nobodys = [row for row in alike if row.run not in self.claimed]
        if named := [row for row in nobodys if self._names(doubted, row)]:
            return named[0]  # By whatever clock, and whatever else it shows.
        fitting = [row for row in nobodys if self._is_in_time(doubted, row) and self._is_told(doubted, row, alike)]
        return min(fitting, key=lambda row: self._clock(row).ours(row), default=None)

    def _is_told(self, doubted: Doubted, row: Listed, alike: Sequence[Listed]) -> bool:
        """Tell whether a run of the same shown inputs is of the same sent ones, too.

        Where a row hides something, no other submit of ours may have started the run, and there may not be more such
        runs than we made submits: one of them would be a stranger's. One that shows nothing of what was sent is known
        by its time alone, which is not enough where somebody else starts runs as well.
        """
        if row.seen_by(doubted.inputs or {}) == doubted.inputs:
            return not self._may_become_anothers(row)
        if row.has_zone not in self.clocks or self._is_contested(doubted, row):
            return False
        if self._tells_by_time_alone(doubted, row) and (self._strangers or not self._is_at_its_time(doubted, row)):
            return False
        return len(alike) <= sum(each.inputs == doubted.inputs for each in self.unanswered)

    def _may_become_anothers(self, row: Listed) -> bool:
        """Tell whether a run may be of a submit that sent more than it shows so far."""
        at = self._clock(row).ours(row)
        rivals = (each for each in self.unanswered if _window(each).holds(at, CLOCKS_DIFFER))
        return any(self._may_become(each.inputs, row) for each in rivals)

    def _names(self, doubted: Doubted, row: Listed) -> bool:
        return bool(urls_of(row) & doubted.addresses)

    def _is_contested(self, doubted: Doubted, row: Listed) -> bool:
        """Tell whether a submit of other inputs may have started a run: not if just one of the two was made then."""
        others = [each for each in self.unanswered if each.inputs != doubted.inputs]
        rivals = [each for each in others if self._of_submit(each)(row) is not Likeness.OTHER]
        at, exactly = self._clock(row).ours(row), self._clock(row).spread
        if any(_window(each).holds(at, exactly) for each in rivals):
            return True
        is_exact = self._is_at_its_time(doubted, row)
        return not is_exact and any(_window(each).holds(at, CLOCKS_DIFFER) for each in rivals)

    def _tells_by_time_alone(self, doubted: Doubted, row: Listed) -> bool:
        """Tell whether nothing that was sent is shown."""
        inputs = doubted.inputs or {}
        return not (row.seen_by(inputs) or {}).items() & inputs.items()

    def _is_at_its_time(self, doubted: Doubted, row: Listed) -> bool:
        """Tell whether a run was made when a submit was, as exactly as the vendor's clock is known."""
        clock = self._clock(row)
        return any(each.holds(clock.ours(row), clock.spread) for each in doubted.windows)

    @cached_property
    def _strangers(self) -> Sequence[Listed]:
        """The runs of the last hour or so that show what no submit of ours sent: somebody else uses the key."""
        since = min([self.now, *(each.intended_at for each in self.unanswered)]) - _ONE_HOUR
        return [row for row in self.free if not self._makers[row.run] and self._clock(row).ours(row) >= since]

    def _comparing(self, inputs: Inputs | None, addresses: frozenset[str]) -> Callable[[Listed], Likeness]:
        """Return what compares rows with a submit: by the address that names it, or else by what was sent."""
        if inputs is None:
            return lambda _: Likeness.UNCLEAR
        by_form, names = self.form.comparing(inputs), self.names
        return lambda row: (
            names.likeness(addresses, inputs, row) or by_form(row.seen_by(inputs), self.may_be_filled(row))
        )

    def _of_submit(self, sent: Sent) -> Callable[[Listed], Likeness]:
        return self._comparing(sent.inputs, frozenset([sent.address] if sent.address else ()))

    @cached_property
    def _makers(self) -> Mapping[str, set[str]]:
        """The jobs of ours that each run may be of, by what its row shows."""
        likeness = [(each.job_id, self._of_submit(each)) for each in self.unanswered]
        return {row.run: {job_id for job_id, compare in likeness if compare(row) is Likeness.SAME} for row in self.free}

    def _is_in_time(self, doubted: Doubted, row: Listed) -> bool:
        at = self._clock(row).ours(row)
        return any(each.holds(at, CLOCKS_DIFFER) for each in doubted.windows)

    def _clock(self, row: Listed) -> Clock:
        return self.clocks.get(row.has_zone, _UNKNOWN_CLOCK)

    # Absent: nothing that is listed can be this one, and what was sent later is listed.

    def _may_be(self, doubted: Doubted, row: Listed, likeness: Likeness) -> bool:
        """Tell whether a run may be this one in another writing, and is not that of another submit of ours.

        One that it was answered with, and that was made then, may be its own until another has it.
        """
        if row.run in doubted.told and self._is_at_its_time(doubted, row):
            return True
        if likeness is not Likeness.UNCLEAR:
            return False
        is_of_time = row.has_zone not in self.clocks or self._is_in_time(doubted, row)
        is_anothers = self._makers[row.run] - {doubted.job_id} and not self._may_become(doubted.inputs, row)
        return is_of_time and not is_anothers

    def _is_missing(self, sent: Sent) -> bool:
        is_late = self.now >= sent.over_at + self.settle
        return is_late and sent.run not in self.look.requests

    def _proves(self, pair: Pair, doubted: Doubted) -> bool:
        """Tell whether a later submit is listed as and when it was sent, so that this one would be listed as well."""
        clock = self.clocks.get(pair.row.has_zone)
        return (
            clock is not None
            and pair.sent.is_inline == doubted.is_inline
            and is_placed(pair.sent.inputs) == is_placed(doubted.inputs or {})
            and self.form.compare(pair.sent.inputs, pair.shown) is Likeness.SAME
            and abs(clock.ours(pair.row) - pair.sent.intended_at) <= CLOCKS_DIFFER
        )


def _window(sent: Sent) -> Window:
    return Window(sent.intended_at, sent.over_at)
