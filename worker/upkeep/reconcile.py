"""Look up: what became of submits that got no answer, from the vendor's request history. Run by the scheduler.

A submit is repeated only if it is proven that it started no run; what can't be told is for a person.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from worker.database import doubts
from worker.database.doubts import Unanswered
from worker.database.engine import transaction
from worker.database.locks import live_sessions
from worker.rules.lifecycle import NOW
from worker.telemetry.failpoints import reach
from worker.upkeep.bench import investigate
from worker.upkeep.lookup import Lookup
from worker.upkeep.settling import settle
from worker.upkeep.survey import Survey, survey
from worker.work.changes import Settled
from worker.work.conclusion import doubted_of
from worker.work.mixups import give_back
from worker.work.services import Services

BATCH = 500


def reconcile(services: Services, lookup: Lookup, ahead: timedelta = NOW, seen: Survey | None = None) -> Settled:
    """Settle what can be settled of the submits without an answer. Safe to run twice because each write is fenced.

    ``ahead`` is by how much the clock has stepped since they may have been made: so much older than it is each seems.
    """
    seen = seen or survey(services)
    interval, lifetime = services.settings.upkeep.sweep_interval, services.settings.run.record_lifetime
    with transaction(services.engine) as connection:
        found = doubts.unanswered(connection, seen.doubted[:BATCH])
        left = doubts.left_open(connection, lifetime, interval, BATCH)
        alive = live_sessions(connection)
    in_doubt = [(each, doubted_of(each, alive, services.settings)) for each in _seen_at([*found, *left], ahead)]
    if not in_doubt:
        return ()
    bench = investigate(services, lookup, [doubted for _, doubted in in_doubt], in_doubt[0][0].job.observed_at)
    reach("reconcile.answered")
    if bench.evidence:
        bench.evidence = bench.evidence.without(give_back(services, bench.evidence.mixed_up))
    settled = [settle(services, what, doubted, bench) for what, doubted in in_doubt]
    with transaction(services.engine) as connection:
        doubts.note_look(connection, [each.job.id for each in left])
    reach("reconcile.recorded")
    return [each for several in settled for each in several]


def _seen_at(found: Sequence[Unanswered], ahead: timedelta) -> Sequence[Unanswered]:
    return [replace(each, job=replace(each.job, observed_at=each.job.observed_at - ahead)) for each in found]
