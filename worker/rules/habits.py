"""Pure: the habits of the request history, learnt from rows of submits that were answered.

What a row shows of the inputs, which time it gives, and which answers named another's run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from worker.rules.run import DEFAULT, PARAMETERS, Inputs, Listed, kind

CLOCKS_DIFFER = timedelta(minutes=2)
"""How far two clocks may be apart that are meant to show the same time."""

FURTHEST_ZONE = timedelta(hours=14, minutes=5)
"""How far a time of a zone that nobody knows may be from UTC, and a little."""

AS_SENT = "as sent"
OFTEN = 3
"""Rows that must agree before what could be a mix-up of two runs counts as a habit."""

_MOST = 0.8
_ENOUGH = 5  # Rows from which on their times tell how exact the vendor's clock is.
_FILES = {"image", "mask"}


@dataclass(frozen=True)
class Sent:
    """A submit of ours: what was sent, when, and which run is known to be its own."""

    job_id: str
    inputs: Inputs
    is_inline: bool
    intended_at: datetime
    over_at: datetime  # When it had an outcome, or must have.
    run: str | None = None
    address: str | None = None  # The mark of the address that names it, where a photo was sent by one of ours.


@dataclass(frozen=True)
class Pair:
    """A submit of ours that was answered, and the row of its run."""

    sent: Sent
    row: Listed

    @property
    def shown(self) -> Inputs:
        """What its row shows of what was sent."""
        return self.row.seen_by(self.sent.inputs) or {}


class Likeness(StrEnum):
    """Whether a row is of some inputs, by all that rows are known to show."""

    SAME = "same"
    OTHER = "other"
    UNCLEAR = "unclear"  # It may be of them in another writing.


@dataclass(frozen=True)
class Form:
    """How rows show what was sent: for a parameter and the kind of its value as sent, or as which other kind.

    What is not here is not known: a value that differs proves nothing then.
    """

    shows: Mapping[tuple[str, str], str]

    def compare(self, sent: Inputs, row: Inputs | None) -> Likeness:
        """Tell whether a row that shows all it ever will is of these."""
        return self.comparing(sent)(row, False)

    def comparing(self, sent: Inputs) -> Callable[[Inputs | None, bool], Likeness]:
        """Return what compares rows with these inputs: many, where thousands are listed.

        A row can be of inputs that it shows otherwise, though rows are known to show some of them as sent: one of the
        same photo can, and one that is blank where files are shown. What is never shown as sent does not count, nor
        what a row lacks that may be filled in, as is told beside it.
        """
        shown = {name: self.shows.get((name, kind(sent, name))) for name in PARAMETERS}
        as_sent = [(name, sent.get(name)) for name in PARAMETERS if shown[name] == AS_SENT]
        files = [(name, sent[name]) for name in _FILES if name in sent]
        may_be_blank = any(shown[name] != DEFAULT for name, _ in files)

        def compare(row: Inputs | None, may_be_filled: bool) -> Likeness:
            if row is None or (may_be_filled and not row):
                return Likeness.UNCLEAR
            others = [name for name, mark in as_sent if row.get(name) != mark]
            if others:
                has_a_file = any(row.get(name) == mark for name, mark in files)
                telling = [name for name in others if name in row or not may_be_filled]
                is_rewritten = (may_be_blank and not row) or has_a_file or not _show_another(telling, sent, row)
                return Likeness.UNCLEAR if is_rewritten else Likeness.OTHER
            differing = (name for name in PARAMETERS if sent.get(name) != row.get(name))
            is_usual = all(shown[name] == kind(row, name) for name in differing)
            return Likeness.SAME if is_usual else Likeness.UNCLEAR

        return compare


def _show_another(names: Iterable[str], sent: Inputs, row: Inputs) -> bool:
    """Tell whether one of some values is another one, where rows show as sent what is of its kind."""
    return any(_is_another(name, sent, row) for name in names)


def _is_another(name: str, sent: Inputs, row: Inputs) -> bool:
    """Tell whether a value is another one.

    Rows may show values as sent only up to a size: a file that is left out or elsewhere can be the one, and so can a
    long text.
    """
    sent_as = kind(sent, name)
    if name in _FILES and sent_as != DEFAULT:
        return kind(row, name) == sent_as
    return sent_as != "long"


def is_part(row: Inputs, sent: Inputs) -> bool:
    """Tell whether a row shows less than was sent, and nothing else; files may be shown in another writing."""
    others = [name for name in row if row[name] != sent.get(name)]
    return bool(sent.keys() - row.keys()) and not _show_another(others, sent, row)


def learn_form(pairs: Sequence[Pair]) -> Form:
    """Learn how rows show inputs. Rows that do not agree on a parameter leave it unknown."""
    return Form({key: how for key, tally in _tallies(pairs).items() if (how := _habit(key, tally))})


def _tallies(pairs: Iterable[Pair]) -> dict[tuple[str, str], Counter[str]]:
    tallies: dict[tuple[str, str], Counter[str]] = {}
    for pair in pairs:
        for name in PARAMETERS:
            key = (name, kind(pair.sent.inputs, name))
            tallies.setdefault(key, Counter())[_showing(pair, name)] += 1
    return tallies


def _showing(pair: Pair, name: str) -> str:
    return AS_SENT if pair.sent.inputs.get(name) == pair.shown.get(name) else kind(pair.shown, name)


def _habit(key: tuple[str, str], tally: Counter[str]) -> str | None:
    if len(tally) != 1:
        return None
    [(how, count)] = tally.items()
    name, sent_as = key
    # A file that was left out or moved to an address is a habit; anything else could be the row of another run.
    is_plain = how == AS_SENT or (name in _FILES and how in {DEFAULT, "url"} and how != sent_as != DEFAULT)
    return how if is_plain or count >= OFTEN else None


def mixed_up(pairs: Sequence[Pair], unanswered: Sequence[Sent]) -> list[Pair]:
    """Return the answers that named the run of another submit.

    Its row has another file where nearly all rows show what was sent, or is of a submit of ours that got no answer.
    """
    tallies = _tallies(pairs)
    usual = {key for key, tally in tallies.items() if tally[AS_SENT] > tally.total() / 2}
    of_strangers = [pair for pair in pairs if any(_shows_another(pair, name, usual) for name in _FILES)]
    left = [pair for pair in pairs if pair not in of_strangers]
    form = learn_form(left)
    return [*of_strangers, *(pair for pair in left if _is_of_another(form, pair, unanswered))]


def _shows_another(pair: Pair, name: str, usual: set[tuple[str, str]]) -> bool:
    sent_as = kind(pair.sent.inputs, name)
    how = _showing(pair, name)
    return (name, sent_as) in usual and (how == sent_as != DEFAULT or (sent_as == DEFAULT and how != AS_SENT))


def _is_of_another(form: Form, pair: Pair, unanswered: Sequence[Sent]) -> bool:
    if not pair.shown or form.compare(pair.sent.inputs, pair.shown) is Likeness.SAME:
        return False  # One that shows nothing names nobody.
    others = (each.inputs for each in unanswered if each.job_id != pair.sent.job_id)
    return any(form.compare(inputs, pair.row.seen_by(inputs)) is Likeness.SAME for inputs in others)


@dataclass(frozen=True)
class Clock:
    """How far the times of rows are ahead of ours, and how exactly that is known."""

    ahead: timedelta
    spread: timedelta

    def ours(self, listed: Listed) -> datetime:
        """Return when a request was made by our clock."""
        return listed.created_at - self.ahead


Clocks = Mapping[bool, Clock]
"""The vendor's clock of rows whose time names its zone, and that of those whose time does not."""

AS_LISTED: Clocks = dict.fromkeys((True, False), Clock(timedelta(0), timedelta(0)))
"""Where the times that are asked for are the vendor's own."""


def learn_clocks(pairs: Iterable[Pair]) -> Clocks:
    """Learn how far rows' times are ahead of the intents of their submits; rows that do not agree teach nothing."""
    ordered = sorted(pairs, key=lambda pair: pair.row.has_zone)
    kinds = groupby(ordered, key=lambda pair: pair.row.has_zone)
    return {has_zone: clock for has_zone, of_kind in kinds if (clock := _learn_clock(list(of_kind)))}


def _learn_clock(pairs: Sequence[Pair]) -> Clock | None:
    ahead = sorted(pair.row.created_at - pair.sent.intended_at for pair in pairs)
    middle = ahead[len(ahead) // 2]
    near = [abs(each - middle) for each in ahead if abs(each - middle) <= CLOCKS_DIFFER]
    if len(near) < _MOST * len(ahead):
        return None
    is_exact = len(near) >= _ENOUGH
    return Clock(middle, max(near) + timedelta(seconds=2) if is_exact else CLOCKS_DIFFER)


def is_past(page: Iterable[Listed], first: datetime, clocks: Clocks) -> bool:
    """Tell whether all of a page is older than ``first`` by our clock, whatever zone its times are of."""
    return all(_latest(each, clocks) < first for each in page)


def _latest(listed: Listed, clocks: Clocks) -> datetime:
    clock = clocks.get(listed.has_zone)
    return clock.ours(listed) + CLOCKS_DIFFER if clock else listed.created_at + FURTHEST_ZONE


def settled_after(least: timedelta, latest: timedelta | None) -> timedelta:
    """Return how long a run may still be listed late: twice as long as one was seen not to be, at the latest.

    Never less than ``least``: a history that was quick all day may be slow now.
    """
    return max(least, min(2 * (latest or timedelta(0)), LONGEST_SETTLE))


LONGEST_SETTLE = timedelta(minutes=30)
"""A row that takes longer is one that is missing, which is evidence of its own."""

FILLED_WITHIN = LONGEST_SETTLE
"""A row may be listed before what was sent is: what it lacks when it is older it never shows."""
