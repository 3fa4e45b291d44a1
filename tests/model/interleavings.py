"""A model of one job's life: two workers, a scheduler, the vendor and a bag of messages, searched exhaustively.

The states, what a step's outcome leads to and what the history proves are the product's own; this file only says
what may happen when, and in which order. Run it alone for a deeper search: ``python -m tests.model.interleavings 3``.
"""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple, TypeVar

from worker.config.environment import Settings
from worker.database.doubts import Submission, Unanswered
from worker.database.submissions import OPEN, Answered
from worker.rules.evidence import Evidence
from worker.rules.habits import Sent
from worker.rules.job import Job
from worker.rules.lifecycle import DRIVEN_BY, JobState, Step, Trigger, Verdict, next_state
from worker.rules.onward import GOES_ON_WITH
from worker.rules.outcome import Advance, Change, Doubt, Fail, Outcome, Snooze, decide
from worker.rules.plan import PROMPT, make_plan
from worker.rules.proof import NO_HISTORY
from worker.rules.run import Inputs, Listed, Look, RemoteStatus
from worker.rules.survival import learn
from worker.work.conclusion import conclude, doubted_of
from worker.work.ledger import VERDICTS

T = TypeVar("T")

PLAN = make_plan(learn((), 31.7), PROMPT)

NOBODY = -1
NONE, HELD, EXPIRED = range(3)
"""Of a lease."""

MOST_SUBMITS = 5
"""By far more than a job is ever sent; only broken rules come there."""

IN_TIME, OVER, SETTLED, LATE = range(4)
"""How long ago the last submit was made: its deadline, the settling of the history, and a person's turn have passed."""


class Row(NamedTuple):
    """The job's row; ``run`` and ``output`` are the paid run that it has, and whose output is stored."""

    state: JobState = JobState.ACCEPTED
    version: int = 0
    lease: int = NONE
    run: int = NOBODY
    output: int = NOBODY


class Entry(NamedTuple):
    """A submit in the ledger."""

    verdict: str | None = None
    http_status: int | None = None
    run: int = NOBODY


class Run(NamedTuple):
    """A line on the vendor's bill."""

    token: int
    is_late: bool  # It was started long after its submit's deadline.
    is_listed: bool = False


class Worker(NamedTuple):
    """Where a process is in a step, and what it knows: the version it took, its submit, and what it saw."""

    at: str = "idle"  # idle, taken, checked, sent, answered
    step: Step = Step.SUBMIT
    version: int = 0
    token: int = NOBODY
    saw: str = ""
    run: int = NOBODY
    is_frozen: bool = False


class State(NamedTuple):
    """Everything there is."""

    row: Row = Row()
    ledger: tuple[Entry, ...] = ()
    age: int = IN_TIME
    is_later_listed: bool = False  # Another job's later submit is in the history, as it was sent.
    runs: tuple[Run, ...] = ()
    on_the_way: tuple[int, ...] = ()  # Submits that the vendor has not read yet.
    messages: tuple[tuple[Step, int], ...] = ((Step.SUBMIT, 0),)
    workers: tuple[Worker, ...] = (Worker(), Worker())
    looked: tuple[str, int, int] | None = None  # What the scheduler is about to write: the end, the run, the version.
    faults: int = 0


class Move(NamedTuple):
    """Something that may happen next; a fault is bounded, and nobody may wait for one."""

    name: str
    state: State
    is_fault: bool = False
    helps: bool = True


OUTCOMES: Mapping[str, Outcome] = {
    "accepted": Advance(Trigger.ANSWERED),
    "not_sent": Snooze(timedelta(0), "the network", is_attempt=True),
    "silence": Doubt("no answer"),
    "server_error": Doubt("a 500", 500),
    "completed": Advance(Trigger.COMPLETED),
    "stored": Advance(Trigger.STORED),
}
TAKEN_IN = {Step.SUBMIT: JobState.SUBMITTING, Step.POLL: JobState.PROCESSING, Step.FETCH: JobState.FETCHING}
READS = {Step.POLL: "completed", Step.FETCH: "stored"}


@cache
def change_of(step: Step, saw: str) -> Change:
    """Return what the product makes of an outcome."""
    return decide(TAKEN_IN[step], 0, OUTCOMES[saw])


@dataclass(frozen=True)
class Rules:
    """The rules that are the product's own, so that a test can break one; and how the vendor behaves."""

    has_history: bool = True
    on_server_error: str = "review"
    driven_by: Mapping[JobState, Step | None] = field(default_factory=lambda: DRIVEN_BY)
    taken_from: Mapping[Step, frozenset[JobState]] = field(
        default_factory=lambda: {
            step: frozenset(state for state, drives in DRIVEN_BY.items() if drives is step) for step in Step
        }
    )
    is_fenced: bool = True  # A write names the version that was taken.
    waits_for_process: bool = True  # Nothing is absent while the process that sent it lives.
    waits_for_proof: bool = True  # Nothing is absent unless a later submit is listed.
    checks_deadline: bool = True  # A worker that was frozen sends nothing.
    check_is_at_once: bool = True  # Nothing comes between that check and the first byte.


class Model:
    """What may happen in a state."""

    def __init__(self, rules: Rules, faults: int) -> None:
        self._rules = rules
        self.first = State(faults=faults)
        self._concluded = cache(self._conclude)

    def moves(self, state: State) -> Iterator[Move]:
        """Give everything that may happen next."""
        yield from self._time_passes(state)
        yield from self._scheduler_works(state)
        yield from self._vendor_works(state)
        for index, worker in enumerate(state.workers):
            if worker.is_frozen:
                thawed = _with_worker(state, index, worker._replace(is_frozen=False))
                # Nobody waits for a frozen worker while there is another one.
                yield Move("thaw", thawed, helps=all(each.is_frozen for each in state.workers))
            else:
                yield from self._worker_works(state, index, worker)
        if state.faults:
            yield from self._faults(state._replace(faults=state.faults - 1))

    # A worker.

    def _worker_works(self, state: State, index: int, worker: Worker) -> Iterator[Move]:
        match worker.at:
            case "idle":
                yield from self._take(state, index)
            case "taken" | "checked" if worker.step is Step.SUBMIT:
                yield self._send(state, index, worker)
            case "taken":
                run = state.row.run if worker.run == NOBODY else worker.run
                seen = worker._replace(at="answered", saw=READS[worker.step], run=run)
                yield Move("read", _with_worker(state, index, seen))
            case "sent":
                yield from self._receive(state, index, worker)
            case "answered":
                yield Move("record", _with_worker(self._record(state, worker), index, IDLE))
                if worker.saw == "completed":
                    going_on = worker._replace(at="taken", step=GOES_ON_WITH)
                    yield Move("go on", _with_worker(state, index, going_on))

    def _take(self, state: State, index: int) -> Iterator[Move]:
        row = state.row
        for message in dict.fromkeys(state.messages):
            step, version = message
            is_enough = step is Step.SUBMIT and len(state.ledger) == MOST_SUBMITS
            if version != row.version or row.state not in self._rules.taken_from[step] or is_enough:
                continue
            left = _without(state.messages, message)
            taken = row._replace(version=version + 1, lease=HELD, state=TAKEN_IN[step])
            worker = Worker("taken", step, version + 1)
            after = state._replace(row=taken, messages=left)
            if step is Step.SUBMIT:
                worker = worker._replace(token=len(state.ledger))
                after = after._replace(ledger=(*state.ledger, Entry()), age=IN_TIME, is_later_listed=False)
            yield Move(f"take {step}", _with_worker(after, index, worker))

    def _send(self, state: State, index: int, worker: Worker) -> Move:
        is_due = worker.at == "checked" or _is_in_time(state, worker) or not self._rules.checks_deadline
        if not is_due:
            return Move("too late", _with_worker(state, index, worker._replace(at="answered", saw="not_sent")))
        if worker.at == "taken" and not self._rules.check_is_at_once:
            return Move("check", _with_worker(state, index, worker._replace(at="checked")))
        after = state._replace(on_the_way=(*state.on_the_way, worker.token))
        return Move("post", _with_worker(after, index, worker._replace(at="sent")))

    def _receive(self, state: State, index: int, worker: Worker) -> Iterator[Move]:
        if not _is_in_time(state, worker):
            yield Move("time out", _with_worker(state, index, worker._replace(at="answered", saw="silence")))
        elif any(run.token == worker.token for run in state.runs):
            heard = worker._replace(at="answered", saw="accepted", run=worker.token)
            yield Move("hear", _with_worker(state, index, heard))

    def _record(self, state: State, worker: Worker) -> State:
        """Write the answer to the ledger in any case, the change if the fence holds, else a late answer.

        The message that follows is sent at once: one whose worker ends before that is a lost one.
        """
        change = change_of(worker.step, worker.saw)
        if worker.token != NOBODY:
            state = _answered(state, worker, change)
        if self._rules.is_fenced and worker.version != state.row.version:
            return _late(state, worker, change)
        return self._driven(state._replace(row=_written(state.row, change, worker)))

    def _driven(self, state: State) -> State:
        step = self._rules.driven_by[state.row.state]
        return state._replace(messages=(*state.messages, (step, state.row.version))) if step else state

    # The scheduler.

    def _scheduler_works(self, state: State) -> Iterator[Move]:
        row = state.row
        step = self._rules.driven_by[row.state]
        if step and row.lease != HELD and len(state.messages) < 2:
            swept = row._replace(lease=NONE)
            yield Move("sweep", state._replace(row=swept, messages=(*state.messages, (step, row.version))))
        if row.state is JobState.SUBMITTING and row.lease != HELD and not state.looked:
            end, run = self._concluded(*self._known(state))
            if end:
                yield Move("look up", state._replace(looked=(end, run, row.version)))
        if state.looked:
            yield Move("settle", self._settle(state, *state.looked))

    def _known(self, state: State) -> tuple[tuple[Entry, ...], tuple[Run, ...], int, bool, bool]:
        last = len(state.ledger) - 1
        lives = any(worker.token == last for worker in state.workers)
        # A run is older than its submit's answer, however late that was.
        listed = tuple(
            run._replace(is_late=run.is_late and state.ledger[run.token].verdict != "unknown")
            for run in state.runs
            if run.is_listed
        )
        return state.ledger, listed, state.age, state.is_later_listed, lives and self._rules.waits_for_process

    def _conclude(
        self, ledger: tuple[Entry, ...], listed: tuple[Run, ...], age: int, is_later_listed: bool, lives: bool
    ) -> tuple[str, int]:
        """Ask the product what becomes of the submit, and return how that ends, and with which run."""
        settings = _settings(self._rules.on_server_error)
        now = _over(len(ledger) - 1) + (-SECOND, SECOND, settings.history.settle, DEADLINE)[age]
        job = Job("job", "default", JobState.SUBMITTING, 0, {}, {}, 0, 0, 0, None, None, now)
        what = Unanswered(job, [_submission(token, entry) for token, entry in enumerate(ledger)])
        doubted = doubted_of(what, {SESSION} if lives else set(), settings)
        proof = NO_HISTORY
        if self._rules.has_history:
            is_proven = is_later_listed or not self._rules.waits_for_proof
            proof = _evidence(listed, doubted.over_at, is_proven, now, settings).judge(doubted)
        answer, outcome = conclude(what, doubted, proof, settings, PLAN, settings.history.settle)
        return _end(answer, outcome)

    def _settle(self, state: State, end: str, run: int, version: int) -> State:
        state = state._replace(looked=None)
        if version != state.row.version:
            return state
        verdict, trigger = ENDS[end]
        ledger = state.ledger
        if verdict:
            ledger = tuple(
                entry._replace(verdict=verdict, run=run) if entry.verdict in {None, *OPEN} else entry
                for entry in ledger
            )
        to = next_state(JobState.SUBMITTING, trigger)
        assert to, "conclude() reports only what the table allows"
        row = Row(to, version + 1, run=run if run != NOBODY else state.row.run)
        return self._driven(state._replace(row=row, ledger=ledger))

    # The vendor, and time.

    def _vendor_works(self, state: State) -> Iterator[Move]:
        for token in state.on_the_way:
            after = state._replace(on_the_way=_without(state.on_the_way, token))
            yield Move("start a run", _with_run(after, token))
        for number, run in enumerate(state.runs):
            if not run.is_listed:
                runs = (*state.runs[:number], run._replace(is_listed=True), *state.runs[number + 1 :])
                yield Move("list a run", state._replace(runs=runs))

    def _time_passes(self, state: State) -> Iterator[Move]:
        """Let a lease run out and a submit get old; the history lists what was sent before what is sent later."""
        row = state.row
        if row.lease == HELD and (row.state is not JobState.SUBMITTING or state.age >= OVER):
            yield Move("a lease runs out", state._replace(row=row._replace(lease=EXPIRED)))
        if not state.ledger or state.ledger[-1].verdict not in {None, "unknown"}:
            return
        all_listed = all(run.is_listed for run in state.runs) and not state.on_the_way
        may_pass = {
            IN_TIME: True,
            OVER: len(state.ledger) - 1 not in state.on_the_way and (all_listed or not state.is_later_listed),
            SETTLED: all_listed,
            LATE: False,
        }
        if may_pass[state.age]:
            yield Move("time passes", state._replace(age=state.age + 1))
        if not state.is_later_listed and state.age >= OVER and (all_listed or state.age < SETTLED):
            yield Move("a later submit is listed", state._replace(is_later_listed=True))

    # What goes wrong.

    def _faults(self, state: State) -> Iterator[Move]:
        for message in dict.fromkeys(state.messages):
            yield Move("lose a message", state._replace(messages=_without(state.messages, message)), True)
            if len(state.messages) < 2:
                yield Move("double a message", state._replace(messages=(*state.messages, message)), True)
        for token in state.on_the_way:
            yield Move("lose a request", state._replace(on_the_way=_without(state.on_the_way, token)), True)
        if state.looked:
            yield Move("kill the scheduler", state._replace(looked=None), True)
        if state.row.state not in FINAL:
            row = state.row._replace(state=JobState.CANCELLED, version=state.row.version + 1, lease=NONE)
            yield Move("cancel", state._replace(row=row), True)
        for index, worker in enumerate(state.workers):
            if worker.at != "idle":
                yield from self._stopped(state, index, worker)

    def _stopped(self, state: State, index: int, worker: Worker) -> Iterator[Move]:
        yield Move("kill", _with_worker(state, index, IDLE), True)
        if not worker.is_frozen:
            yield Move("freeze", _with_worker(state, index, worker._replace(is_frozen=True)), True)
            if worker.at == "sent":
                yield from self._broken_submits(state, index, worker)

    def _broken_submits(self, state: State, index: int, worker: Worker) -> Iterator[Move]:
        """Break the connection, whatever the vendor makes of the request; or answer with a 500."""
        silent = worker._replace(at="answered", saw="silence")
        yield Move("break off", _with_worker(state, index, silent), True)
        if worker.token in state.on_the_way:
            failed = state._replace(on_the_way=_without(state.on_the_way, worker.token))
            failed = _with_worker(failed, index, worker._replace(at="answered", saw="server_error"))
            yield Move("500 without a run", failed, True)
            yield Move("500 with a run", _with_run(failed, worker.token), True)


def _is_in_time(state: State, worker: Worker) -> bool:
    return worker.token == len(state.ledger) - 1 and state.age == IN_TIME


def _with_worker(state: State, index: int, worker: Worker) -> State:
    return state._replace(workers=(*state.workers[:index], worker, *state.workers[index + 1 :]))


def _with_run(state: State, token: int) -> State:
    is_late = token != len(state.ledger) - 1 or state.age >= SETTLED
    return state._replace(runs=(*state.runs, Run(token, is_late)))


def _without(several: tuple[T, ...], one: T) -> tuple[T, ...]:
    index = several.index(one)
    return several[:index] + several[index + 1 :]


def _answered(state: State, worker: Worker, change: Change) -> State:
    """Write what came back to a submit, by its token."""
    token = worker.token
    status = change.doubt.http_status if change.doubt else None
    entry = Entry(VERDICTS[change.trigger], status, worker.run)
    ledger = (*state.ledger[:token], entry, *state.ledger[token + 1 :])
    if change.doubt and token == len(ledger) - 1:  # It is over now, whenever that is.
        return state._replace(ledger=ledger, age=OVER, is_later_listed=False)
    return state._replace(ledger=ledger)


def _written(row: Row, change: Change, worker: Worker) -> Row:
    run = worker.run if worker.saw == "accepted" else row.run
    output = worker.run if worker.saw == "stored" else row.output
    return Row(change.state, row.version + 1, NONE, run, output)


def _late(state: State, worker: Worker, change: Change) -> State:
    """Write an answer to a submit that was given up, if the job still waits for one (`jobs.write_late`)."""
    row = state.row
    others = (entry for token, entry in enumerate(state.ledger) if token != worker.token)
    is_settled = worker.saw == "accepted" or not any(entry.verdict in {None, *OPEN} for entry in others)
    waits = row.state in {JobState.REVIEW, JobState.ACCEPTED} and row.run == NOBODY
    fits = next_state(row.state, change.trigger) is change.state
    if worker.token == NOBODY or not (is_settled and waits and fits):
        return state
    return state._replace(row=_written(row, change, worker))


# What the product is asked.

SECOND = timedelta(seconds=1)
DEADLINE = timedelta(minutes=15)
SESSION = 7
ENDS: Mapping[str, tuple[str | None, Trigger]] = {
    "adopted": ("adopted", Trigger.ANSWERED),
    "absent": ("absent", Trigger.NOT_SENT),
    "retried": (None, Trigger.NOT_SENT),
    "unresolved": ("unresolved", Trigger.UNTOLD),
}


@cache
def _settings(on_server_error: str) -> Settings:
    return Settings().having(SAM3D_RECONCILE_DEADLINE=DEADLINE).having(SAM3D_SUBMIT_SERVER_ERROR=on_server_error)


def _over(token: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=token)


def _submission(token: int, entry: Entry) -> Submission:
    over = _over(token)
    intended = over - _settings("review").run.submit_deadline
    answered = over if entry.verdict else None
    return Submission(
        str(token),
        SESSION,
        MARKS,
        False,
        intended,
        answered,
        entry.http_status,
        Verdict(entry.verdict) if entry.verdict else None,
    )


MARKS, OTHERS = {"image": "text:digest"}, {"image": "text:other"}


def _listed(request_id: str, inputs: Inputs, at: datetime) -> Listed:
    return Listed(request_id, at, RemoteStatus.PROCESSING, inputs, "me", None, None, ())


def _evidence(
    runs: tuple[Run, ...], over_at: datetime, is_later_listed: bool, now: datetime, settings: Settings
) -> Evidence:
    shown = {str(run.token): _listed(str(run.token), MARKS, _over(run.token) - SECOND) for run in runs}
    late = {str(run.token): _listed(str(run.token), MARKS, now + timedelta(hours=1)) for run in runs if run.is_late}
    later = {"later": _listed("later", OTHERS, over_at)} if is_later_listed else {}
    sent = [Sent("later's", OTHERS, False, over_at, over_at, "later")] if is_later_listed else []
    look = Look({**shown, **late, **later}, is_complete=True)
    return Evidence(look, sent, [], frozenset({"later"}), now, settings.history.settle)


def _end(answer: Answered | None, outcome: Outcome | None) -> tuple[str, int]:
    match outcome:
        case None:
            return "", NOBODY
        case Advance(Trigger.ANSWERED) if answer and answer.request_id:
            return "adopted", int(answer.request_id)
        case Advance(Trigger.NOT_SENT):
            return ("absent" if answer else "retried"), NOBODY
        case Fail(Trigger.UNTOLD):
            return "unresolved", NOBODY
    raise AssertionError(outcome)


# The search.


def canonical(state: State) -> State:
    """Return one state for all that differ in nothing that matters: numbers of versions, the order of workers."""
    row, ledger, age, is_later_listed, runs, on_the_way, messages, workers, looked, faults = state
    version = row.version
    first, second = (_renumbered(worker, version) for worker in workers)
    messages = tuple([(step, 0) for step, each in messages if each == version])
    looked = (*looked[:2], 0) if looked and looked[2] == version else None
    is_waited_for = bool(on_the_way) or max(first.token, second.token) != NOBODY
    last = len(ledger) - 1
    if ledger and ledger[-1].verdict == "not_started" and not _is_spoken_of(last, (first, second), on_the_way, runs):
        ledger, age, is_later_listed = ledger[:-1], LATE, False
    if row.run != NOBODY or row.state in FINAL:  # The history and the ledger are not asked any more.
        ledger, is_later_listed = (TOLD,) * len(ledger), False
        runs = tuple([Run(run.token, is_late=False, is_listed=True) for run in runs])
    if row.state is not JobState.SUBMITTING and not is_waited_for:
        age, is_later_listed = LATE, False
    workers = (first, second) if first <= second else (second, first)
    row = row if version == 0 else row._replace(version=0)
    return State(row, ledger, age, is_later_listed, runs, on_the_way, messages, workers, looked, faults)


TOLD = Entry("told")
FINAL = frozenset(state for state in JobState if state.is_final)


def _renumbered(worker: Worker, version: int) -> Worker:
    if worker.at == "idle":
        return IDLE
    return worker._replace(version=0 if worker.version == version else NOBODY)


def _is_spoken_of(token: int, workers: tuple[Worker, ...], on_the_way: tuple[int, ...], runs: tuple[Run, ...]) -> bool:
    """Tell whether anybody else knows of a submit; if not, one that started nothing may be forgotten."""
    told = {*on_the_way, *(each.token for each in workers), *(each.token for each in runs)}
    return token in told


IDLE = Worker()


class Violation(AssertionError):
    """Something happened that must not; it tells how."""


@dataclass
class Search:
    """What a search found: how many states, and from which of them an end can be reached."""

    model: Model
    paid_at_most: int = 1
    came_from: dict[State, tuple[State, str] | None] = field(default_factory=dict)
    leads_back: dict[State, list[State]] = field(default_factory=dict)
    moves: int = 0

    def run(self) -> None:
        """Visit every state, breadth first, so that a violation is told by its shortest story."""
        first = canonical(self.model.first)
        self.came_from[first] = None
        left = deque([first])
        while left:
            state = left.popleft()
            for move in self.model.moves(state):
                self.moves += 1
                self._check(state, move)
                following = canonical(move.state)
                if following not in self.came_from:
                    self.came_from[following] = (state, move.name)
                    left.append(following)
                if move.helps and not move.is_fault:
                    self.leads_back.setdefault(following, []).append(state)

    def _check(self, before: State, move: Move) -> None:
        row, runs = move.state.row, move.state.runs
        if len(runs) > self.paid_at_most:
            self._tell(before, move.name, f"{len(runs)} runs were paid")
        if before.row.state in FINAL and row.state is not before.row.state:
            self._tell(before, move.name, f"a job that was {before.row.state} became {row.state}")
        if row.state is JobState.SUCCEEDED and (row.output == NOBODY or row.output not in {run.token for run in runs}):
            self._tell(before, move.name, "a job succeeded without the output of a paid run")
        owners = [each for each in move.state.workers if each.at in _OWNS and each.version == row.version]
        if len(owners) > 1:
            self._tell(before, move.name, "two workers own one version")

    def stuck(self) -> list[State]:
        """Return the states from which nothing ends the job, or brings it to a person, without another fault."""
        ended = [state for state in self.came_from if state.row.state in FINAL or state.row.state is JobState.REVIEW]
        reached, left = set(ended), deque(ended)
        while left:
            for state in self.leads_back.get(left.popleft(), ()):
                if state not in reached:
                    reached.add(state)
                    left.append(state)
        return [state for state in self.came_from if state not in reached]

    def story(self, state: State) -> list[str]:
        """Return how a state came about."""
        names = []
        while came := self.came_from[state]:
            state, name = came
            names.append(name)
        return names[::-1]

    def _tell(self, state: State, name: str, what: str) -> None:
        raise Violation(f"{what}: {' > '.join((*self.story(state), name))}")


_OWNS = {"taken", "checked", "sent", "answered"}


def main() -> None:
    """Search with as many faults as the command line says, for each kind of vendor."""
    faults = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    for rules in VENDORS.values():
        began = time.monotonic()
        search = Search(Model(rules, faults))
        search.run()
        counts = f"{len(search.came_from)} states, {search.moves} moves, {len(search.stuck())} stuck"
        print(f"{counts}, {time.monotonic() - began:.1f} s")


VENDORS: Mapping[str, Rules] = {
    "history": Rules(),
    "history, a 5xx may be sent again": Rules(on_server_error="retry"),
    "no history": Rules(has_history=False),
}


if __name__ == "__main__":
    main()
