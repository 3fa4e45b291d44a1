"""What a process goes by for some seconds: the plan of polls, learnt from the last runs, and the request budget.

Every process learns from the same rows, so nothing is shared but the database.
"""

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from worker.config.environment import Settings
from worker.database import figures as repository
from worker.database.engine import DatabaseError, Engine, describe, transaction
from worker.log import Log
from worker.rules.budget import NO_MARGIN, Margin, Terms, limit_now, price, slot_of
from worker.rules.job import ACCOUNT
from worker.rules.plan import make_plan, prior_plan
from worker.rules.survival import Curve, Run, learn

READS_COUNT = {"yes": True, "no": False}
"""What is set, where it is; with `auto` it is learnt."""

FRESH = timedelta(seconds=3)

log = Log(__name__)


class Outlook:
    """Learns anew every few seconds, where it is asked; without the database it goes on with what it knew."""

    def __init__(self, settings: Settings, engine: Engine, account: str = ACCOUNT) -> None:
        self._account = account
        self._settings = settings
        self._engine = engine
        self._guard = threading.Lock()
        self._terms = self._from_nothing()
        self._margin = (self._terms, NO_MARGIN)
        self._learnt: tuple[Sequence[Run], Curve] | None = None
        self._stale_at = time.monotonic()

    def terms(self) -> Terms:
        """Return the terms that count now. One thread learns them, the others do not wait for it."""
        if time.monotonic() >= self._stale_at and self._guard.acquire(blocking=False):
            try:
                self._terms = self._learn()
            except DatabaseError as error:
                log.warning("outlook_stale", reason=describe(error), next="what was known last counts")
            except Exception:  # No job may fail for want of a better plan.
                log.exception("outlook_stale", next="what was known last counts")
            finally:
                self._stale_at = time.monotonic() + FRESH.total_seconds()
                self._guard.release()
        return self._terms

    def margin(self, terms: Terms) -> Margin:
        """Return the margin of submits that was counted by these terms; by others it is counted anew."""
        counted_by, margin = self._margin
        return margin if counted_by is terms else NO_MARGIN

    def keep_margin(self, terms: Terms, margin: Margin) -> None:
        """Go by a margin that was counted, as long as these terms last."""
        self._margin = (terms, margin)

    def _learn(self) -> Terms:
        settings = self._settings
        with transaction(self._engine) as connection:
            runs = repository.recent_runs(connection, self._account)
            known = repository.known(connection, self._account)
        curve = self._curve_of(runs)
        asked = settings.budget.limit
        limit = limit_now(asked, known.learnt_limit, known.learnt_ago) if asked else None
        reads_count = READS_COUNT.get(settings.budget.reads_count, known.reads_count)
        slot = slot_of(limit) if limit and reads_count is not False else None  # A poll that is free delays nobody.
        worth = price(known.waiting, known.polled, slot, timedelta(seconds=curve.median))
        is_bulk = settings.budget.bulk_look == "on"
        return Terms(make_plan(curve, worth), limit, reads_count, known.single_look, is_bulk)

    def _curve_of(self, runs: Sequence[Run]) -> Curve:
        """Learn how long runs take, which takes longer than to read them; of the same runs the same was learnt."""
        if self._learnt is None or self._learnt[0] != runs:
            self._learnt = runs, learn(runs, self._settings.run.expected.total_seconds())
        return self._learnt[1]

    def _from_nothing(self) -> Terms:
        settings = self._settings
        return Terms(
            prior_plan(settings.run.expected), settings.budget.limit, READS_COUNT.get(settings.budget.reads_count)
        )
