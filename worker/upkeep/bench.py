"""What judges doubted submits: the history, read once for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.config.environment import Settings
from worker.errors import AccountHeld, HistoryMissing, RemoteUnavailable
from worker.log import Log
from worker.rules.evidence import Evidence
from worker.rules.habits import CLOCKS_DIFFER
from worker.rules.proof import NO_ANSWER, NO_HISTORY, Doubted, Proof
from worker.upkeep.lookup import Lookup
from worker.work.services import Services

log = Log(__name__)


@dataclass
class Bench:
    """Judges one doubted submit after the other; a run that was found for one is not given to the next."""

    evidence: Evidence | None
    otherwise: Proof = NO_ANSWER
    taken: frozenset[str] = frozenset()
    goes_on: bool = False  # The history is longer than what was read of it so far.

    def judge(self, doubted: Doubted) -> Proof:
        """Say what became of a submit by the evidence, or without one that the history can't tell."""
        if self.evidence is None:
            return self.otherwise
        proof = self.evidence.judge(doubted, self.taken)
        if proof.request:
            self.taken |= {proof.request.run}
        return proof

    def settle(self, settings: Settings) -> timedelta:
        """Return how late a run may be listed."""
        return self.evidence.settle if self.evidence else settings.history.settle


def investigate(services: Services, lookup: Lookup, in_doubt: Sequence[Doubted], now: datetime) -> Bench:
    """Read the history once for all."""
    if services.settings.history.mode == "off":
        return Bench(None, NO_HISTORY)
    first = min(window.first for each in in_doubt for window in each.windows) - CLOCKS_DIFFER
    try:
        return Bench(lookup.look(first, now), goes_on=lookup.goes_on)
    except HistoryMissing as error:
        log.warning("history_missing", reason=str(error), next="what it can't tell goes to review")
        return Bench(None, NO_HISTORY)
    except (AccountHeld, RemoteUnavailable) as error:
        log.warning("history_unavailable", reason=str(error), next="the next tick")
        return Bench(None, NO_ANSWER)
