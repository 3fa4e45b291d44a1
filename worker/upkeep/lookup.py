"""Look a time up in the vendor's request history, in as many turns as it takes, and gather what is known of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from worker.database import doubts, ownership, submissions
from worker.database.engine import transaction
from worker.rules.evidence import Evidence
from worker.rules.habits import Clocks, Pair, learn_clocks, settled_after
from worker.rules.request_id import written_like
from worker.rules.run import Listed, Look
from worker.vendor.paging import Reading
from worker.work.services import Services

ONE_HOUR = timedelta(hours=1)
"""How much further back submits are read than a look goes: they tell the vendor's clock, and who else has a run."""

ONE_DAY = timedelta(days=1)
"""Of what time it is learnt how late rows land."""


class Lookup:
    """Looks at the history; where there is more of it than one look may read, the next one goes on from there."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reading: Reading | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the last look was too short."""
        return self._reading is not None and not self._reading.is_over

    def look(self, first: datetime, now: datetime) -> Evidence:
        """Read what is listed since a time; what it proves, it proves as of when the reading began.

        Raises:
            HistoryMissing, RemoteUnavailable, AccountHeld: nothing was read.
        """
        reading = self._reading if self._reading and self.goes_on else None
        self._reading = None  # Whatever breaks, the next look begins anew.
        reading = reading or Reading(first, now, self._clocks(first))
        reading.begin_turn(first)
        look = self._services.vendor.history(reading)
        self._reading = reading
        return self._gather(look, reading)

    def _clocks(self, first: datetime) -> Callable[[Mapping[str, Listed]], Clocks]:
        """Return what tells the vendor's clock from the rows of submits of ours that were answered."""
        with transaction(self._services.engine) as connection:
            deadline = self._services.settings.run.submit_deadline
            known = {each.run: each for each in submissions.answered(connection, first - ONE_HOUR, deadline)}
        return lambda requests: learn_clocks([Pair(known[run], row) for run, row in requests.items() if run in known])

    def _gather(self, look: Look, reading: Reading) -> Evidence:
        """Put together what is known, after the look: each run that it lists was intended before."""
        settings, first, as_of = self._services.settings, reading.first, reading.began_at
        with transaction(self._services.engine) as connection:
            answered = submissions.answered(connection, first, settings.run.submit_deadline)
            if look.is_complete:
                missing = [each for each in answered if each.over_at <= as_of and each.run not in look.requests]
                submissions.note_missing(connection, [each.run for each in missing if each.run], as_of)
            return Evidence(
                look=_written_like(look, submissions.answered_id(connection)),
                answered=answered,
                unanswered=submissions.without_run(connection, first - ONE_HOUR, settings.run.submit_deadline),
                claimed=ownership.claimed(connection, look.requests),
                now=as_of,
                settle=settled_after(settings.history.settle, doubts.latest_landing(connection, ONE_DAY)),
            )


def _written_like(look: Look, answered: str | None) -> Look:
    """Return a look whose runs have the ids that the API knows them by: a job goes on with what is found."""
    requests = look.requests.items()
    return Look(
        {run: replace(row, request_id=written_like(row.request_id, answered)) for run, row in requests},
        look.is_complete,
    )
