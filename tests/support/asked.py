"""What the service asks its database, one of each: how it is found is looked at."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.database import (
    arrivals,
    at_once,
    births,
    doubts,
    figures,
    idle_slots,
    leases,
    lineage,
    looks,
    outbox,
    overdue,
    ownership,
    purchases,
    reading,
    retention,
    retries,
    shares,
    slots,
    submissions,
    turns,
    under_way,
    usage,
)
from worker.database import jobs as repository
from worker.database.engine import Connection
from worker.rules.budget import NO_MARGIN, Kind, Terms
from worker.rules.job import Job
from worker.rules.lifecycle import NOW, EventType, JobState, Step, Ticket, Trigger, Verdict
from worker.rules.outcome import Advance, Learnt, Outcome, decide
from worker.rules.output_files import StoredFile
from worker.rules.plan import Plan

SECOND = timedelta(seconds=1)
ID = "00000000-0000-4000-8000-000000000001"
TICKET = Ticket(ID, 1)
KEY = arrivals.Key("x", "x")
_ROW = {"id": ID, "fingerprint": "", "parameters": {}, "metadata": {}, "priority": 0}
NEWBORN = births.Newborn(
    {**_ROW, "source": "x", "correlation_id": None, "idempotency_key": "x"}, [], {}, is_limited=True
)
ORDER = purchases.Order(TICKET, purchases.Permit.TURN, lineage.Intended(ID, datetime.now(UTC)))
CHOSEN = replace(ORDER, permit=purchases.Permit.SLOT)
WANTED = purchases.Wanted({}, [], "")
INTENT = submissions.intent_of(ID, WANTED, "x", 1, submissions.Digest("", {}))

TERMS = Terms(Plan(looks=(30,), polls=3.0, typical=30 * SECOND, processing=NOW), limit=6000)
DRAWN = replace(ORDER, permit=purchases.Permit.NEXT_SLOT, drawing=idle_slots.drawing(TERMS, NO_MARGIN))
ASKED: dict[str, Callable[[Connection], Any]] = {
    "take": lambda c: repository.take(c, TICKET, JobState.PROCESSING, SECOND, needs_slot=True),
    "existing": lambda c: arrivals.find_existing(c, ID, KEY, ID),
    "key": lambda c: (arrivals.is_everybodys(c, KEY), arrivals.last_of_key(c, KEY)),
    "birth": lambda c: births.add(c, NEWBORN, "default", SECOND),
    "body": lambda c: arrivals.id_for_body(c, ID, SECOND, is_sent_anew=True),
    "retry": lambda c: retries.lock(c, ID),
    "cancel": lambda c: repository.cancel(c, ID),
    "left open": lambda c: doubts.left_open(c, SECOND, SECOND, 10),
    "given back": lambda c: ownership.give_back(c, ID, "x"),
    "history": lambda c: reading.history(c, ID),
    "list": lambda c: (reading.newest_jobs(c, None, 10), reading.jobs_in_review(c, reading.Reviewed())),
    "events": lambda c: retention.delete_events(c, retention.old_events(timedelta(days=900)), 10),
    "purchase": lambda c: (purchases.read(c, ORDER), purchases.take(c, ORDER, WANTED, INTENT, SECOND)),
    "chosen purchase": lambda c: (purchases.read(c, CHOSEN), purchases.take(c, CHOSEN, WANTED, INTENT, SECOND)),
    "turn": lambda c: turns.whose_turn(c, TICKET),
    "polled soon": lambda c: looks.polled_soon(c, "default", SECOND, 10),
    "submit times": lambda c: looks.submit_times(c, "default", 10),
    "under way": lambda c: under_way.page(c, None, SECOND),
    "overdue": lambda c: (overdue.left_behind(c, [ID]), overdue.count_waiting(c, 10), overdue.waiting(c, 10)),
    "leases": lambda c: (leases.free(c, [1]), leases.expect_all(c, SECOND, 10)),
    "budget": lambda c: slots.release(c, "default", TERMS, SECOND),
    "draw": lambda c: slots.draw(c, TICKET, Step.SUBMIT, JobState.ACCEPTED, TERMS, SECOND),
    "drawn at once": lambda c: (purchases.read(c, DRAWN), purchases.take(c, DRAWN, WANTED, INTENT, SECOND)),
    "taken at once": lambda c: idle_slots.take(c, TICKET, JobState.PROCESSING, Kind.POLL, TERMS, SECOND, 1),
    "waiting": lambda c: slots.has_waiting(c, "default"),
    "figures": lambda c: (figures.known(c, "default"), figures.recent_runs(c, "default")),
    "usage": lambda c: usage.carried(c, "default"),
    "doubts": lambda c: doubts.unanswered(c, [ID]),
    "look now": lambda c: doubts.look_now(c, "default"),
    "lineage": lambda c: lineage.waiting_jobs(c, "default"),
    "drive": lambda c: lineage.drive_waiting(c, "default"),
    "claims": lambda c: (ownership.is_claimed(c, ID, ID), ownership.claimed(c, [ID]), ownership.holder_of(c, ID, ID)),
    "answered": submissions.answered_id,
    "shares": lambda c: (shares.lock(c, "x"), shares.untold(c, 10), shares.count_waiting(c, ID)),
    "outbox": lambda c: (outbox.leave(c, SECOND, outbox.Walk()), outbox.unpublished(c, 10)),
    "retention": lambda c: retention.delete_jobs(c, retention.old_jobs(timedelta(days=90)), 10),
}


def _at_once(connection: Connection, outcome: Outcome, **more: Any) -> None:
    """Write a change of a job that there is not."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    job = Job(ID, "default", JobState.SUBMITTING if more else JobState.FETCHING, 1, {}, {}, 0, 0, 0, "x", at, at, ID)
    change = decide(job.state, 0, outcome)
    at_once.write(connection, at_once.Whole(job, change, SECOND, EventType.SUBMITTED, {}, **more))


_TELLS = Learnt(tells_of_account=True)
ASKED |= {
    "answer": lambda c: _at_once(
        c, Advance(Trigger.ANSWERED, learnt=_TELLS), answer=submissions.Answered(Verdict.ACCEPTED, ID)
    ),
    "end": lambda c: _at_once(
        c, Advance(Trigger.STORED, learnt=_TELLS, files=[StoredFile("x", "x", 1, "x", "database:output/x")])
    ),
}
