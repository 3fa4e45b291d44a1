"""Pure: runs that the vendor lists and nobody here has, and the waiting jobs that they may have been started for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeVar

from worker.rules.evidence import Evidence
from worker.rules.habits import AS_SENT, CLOCKS_DIFFER, Sent
from worker.rules.naming import urls_of
from worker.rules.presigned import PLACE, name_in
from worker.rules.run import PARAMETERS, Inputs, Listed, RemoteStatus, kind

ENOUGH = 3
"""Runs of ours, with none of anybody else's among them, after which the key is taken for ours alone."""

SIDE_BY_SIDE = 100
"""Jobs that may have been submitted before one that was to be submitted earlier: many are at work at a time."""

_PLAIN = [name for name in PARAMETERS if name not in {"image", "mask"}]


@dataclass(frozen=True)
class Waiting:
    """A job that is to be submitted, and what would be sent."""

    job_id: str
    inputs: Inputs
    accepted_at: datetime
    address: str | None = None  # That names its submit, where one is known.


class Lineup:
    """The runs that nobody has. One that is given away is not given to the next."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.free = sorted(evidence.free, key=lambda row: (row.status is RemoteStatus.FAILED, row.created_at))
        for each in evidence.unanswered:
            self._spare(each)

    def _spare(self, sent: Sent) -> None:
        """Leave a run to the submit in doubt that may have started it."""
        waiting = Waiting(sent.job_id, sent.inputs, sent.intended_at, sent.address)
        if self.take_own(waiting) is None:
            hidden = (row for row in self._in_time(waiting) if self._may_be(waiting, row))
            self._take(next(hidden, None))

    def take_own(self, waiting: Waiting) -> Listed | None:
        """Give a job a run of exactly its inputs, made since it was accepted: one that was paid, if there is one."""
        named = (row for row in self.free if waiting.address in urls_of(row))
        own = (row for row in self._in_time(waiting) if row.seen_by(waiting.inputs) == waiting.inputs)
        return self._take(next(chain(named, own), None))

    def resembles(self, parameters: Inputs) -> bool:
        """Tell whether a run shows a job's parameters as they are, whatever its files: those are large to read."""
        plain = [row.inputs for row in self.free if row.inputs is not None]
        return any(all(row.get(name) == parameters.get(name) for name in _PLAIN) for row in plain)

    def _take(self, row: Listed | None) -> Listed | None:
        if row:
            self.free.remove(row)
        return row

    def may_have(self, waiting: Waiting) -> bool:
        """Tell whether a run may be a job's that does not show all that was sent."""
        return any(self._may_be(waiting, row) for row in self._in_time(waiting))

    def _may_be(self, waiting: Waiting, row: Listed) -> bool:
        """Tell whether a run may be of these inputs: it shows none of them otherwise that such rows show as sent."""
        shown = row.seen_by(waiting.inputs)
        if shown is None:
            return True
        shows = self._evidence.form.shows
        telling = shown if self._evidence.may_be_filled(row) else PARAMETERS
        differing = [name for name in telling if _is_another(name, waiting.inputs, shown)]
        return not any(shows.get((name, kind(waiting.inputs, name))) == AS_SENT for name in differing)

    def _in_time(self, waiting: Waiting) -> Sequence[Listed]:
        return [row for row in self.free if self._is_since(row, waiting.accepted_at - CLOCKS_DIFFER)]

    def _is_since(self, row: Listed, at: datetime) -> bool:
        """Tell whether a run was made after a moment, or may have been where its clock is not known."""
        clock = self._evidence.clocks.get(row.has_zone)
        return clock is None or clock.ours(row) >= at

    def made_at(self, row: Listed) -> datetime:
        """Return when a run was made, by our clock where it is known."""
        clock = self._evidence.clocks.get(row.has_zone)
        return clock.ours(row) if clock else row.created_at

    def is_ours_alone(self, until: datetime | None) -> bool:
        """Tell whether nobody else seems to use the key: no run of the time that the ledger knows is a stranger's."""
        if until is None or len(self._evidence.pairs) < ENOUGH:
            return False
        return all(self._is_since(row, until - CLOCKS_DIFFER) for row in self.free)


def _is_another(name: str, sent: Inputs, shown: Inputs) -> bool:
    """Tell whether a value is another one; a photo by its name alone, as our store may have been elsewhere before."""
    if kind(sent, name) == kind(shown, name) == PLACE:
        return name_in(sent.get(name)) != name_in(shown.get(name))
    return sent.get(name) != shown.get(name)


T = TypeVar("T")


def first_in_turn(untold: Sequence[T], runs: int) -> Sequence[T]:
    """Return which of the jobs that may have one of so many runs can have it: they were submitted in turn."""
    return untold[: runs + SIDE_BY_SIDE] if runs else ()


LEARNT_FROM = timedelta(minutes=10)
"""How much of the time that the ledger knows is read as well: how rows show inputs and time is learnt from it."""
