"""Survey: all runs that are under way are looked through once a tick, for all duties together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from worker.database import under_way
from worker.database.engine import transaction
from worker.database.under_way import Seen
from worker.rules.lifecycle import JobState
from worker.upkeep.clock_steps import furthest
from worker.work.expecting import Leases, expect_all
from worker.work.services import Services


@dataclass(frozen=True)
class Survey:
    """The runs about which something is to be done."""

    runs: Sequence[Seen]

    @property
    def abandoned(self) -> Sequence[str]:
        """The runs whose worker has died."""
        return _most_urgent(each for each in self.runs if each.is_left and each.has_lease)

    @property
    def untaken(self) -> Mapping[JobState, Sequence[str]]:
        """The overdue runs by state that nobody has taken; those whose result expires first come first."""
        left = [each for each in self.runs if each.is_left and not each.has_lease]
        states = dict.fromkeys(each.state for each in left)
        return {state: _most_urgent(each for each in left if each.state is state) for state in states}

    @property
    def lessees(self) -> frozenset[int]:
        """The sessions that have taken runs to read."""
        return frozenset(each.session for each in self.runs if each.session is not None)

    @property
    def doubted(self) -> Sequence[str]:
        """The jobs that are due to be looked up, those first that are due first: nobody waits for an answer."""
        return [each.id for each in sorted(self.runs, key=lambda each: each.due_at) if each.is_doubted]

    @property
    def far(self) -> Sequence[str]:
        """The runs that lie further ahead than anything is put off."""
        return [each.id for each in self.runs if each.is_far]


def _most_urgent(runs: Iterable[Seen]) -> Sequence[str]:
    return [each.id for each in sorted(runs, key=lambda each: each.urgency)]


def survey(services: Services, beat: Callable[[], None] = lambda: None) -> Survey:
    """Look through all runs, page by page; what changes meanwhile is found as it was or as it is."""
    runs: list[Seen] = []
    last: Seen | None = None
    while True:
        beat()
        with transaction(services.engine) as connection:
            found = under_way.page(connection, last, furthest(services.settings))
        runs += found
        if not found or not found[-1].is_last:
            return Survey(runs)
        last = found[-1]


class Round:
    """What the duties of a tick know of the runs."""

    def __init__(self, services: Services, beat: Callable[[], None]) -> None:
        self._services = services
        self._beat = beat
        self._leases = Leases(services.engine)
        self._seen: Survey | None = None

    @property
    def seen(self) -> Survey:
        """What was seen in this round; outside of one it is looked anew."""
        return self._seen or survey(self._services, self._beat)

    def begin(self) -> None:
        """Look for all duties that follow."""
        self._seen = survey(self._services, self._beat)

    def end(self) -> None:
        """Have who asks from now on look anew."""
        self._seen = None

    def expect(self, *, trusts_messages: bool) -> None:
        """Have the sweep come at once for what the dead had taken, and soon for all where messages may be lost."""
        if self._leases.free(self.seen.lessees):
            self.begin()
        if not trusts_messages:
            expect_all(self._services.engine, self._beat)
