"""What tasks commit at once goes out together: one wait for the broker, one statement; and nothing of it is lost."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import event
from structlog.testing import capture_logs

from tests.support.in_process import PHOTO, settings_of
from tests.support.receipt_keys import make_key
from tests.support.requests import rows
from tests.support.waiting import wait_until
from worker.app import App, create_app
from worker.boot import declare_now
from worker.broker.publishing import Fate, Publication
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp, Step
from worker.simulator import Simulator
from worker.work import marks as marks_of_events
from worker.work import outgoing
from worker.work.executor import execute
from worker.work.outgoing import Outgoing

JOBS = 30
EACH = 2
"""What an accepted job has to go out: its event and the message of its submit."""

Publish = Callable[[Sequence[Publication]], Sequence[Fate]]


@pytest.fixture
def app(migrated_url: str, vhost_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app whose tasks hand over what they commit, as a worker's do; nothing runs but what a test calls."""
    settings = settings_of(vhost_url, migrated_url, simulator).having(SAM3D_CONCURRENCY=JOBS, SAM3D_RECEIPT_KEY=None)
    built = create_app(settings)
    declare_now(built)
    built.services.post.start()
    yield built
    built.close()


def thread_of(app: App) -> Outgoing:
    """Return what publishes for an app."""
    found = app.services.post._outgoing
    assert found
    return found


class Gate:
    """Stands between the thread and the broker: it keeps each batch, and holds it up while it is shut."""

    def __init__(self, thread: Any) -> None:
        self.batches: list[Sequence[Publication]] = []
        self.publish: Publish = thread._publish
        self._open = threading.Event()
        self._open.set()
        thread._publish = self._pass

    def _pass(self, publications: Sequence[Publication]) -> Sequence[Fate]:
        self.batches.append(publications)
        assert self._open.wait(30)
        return self.publish(publications)

    @contextmanager
    def shut(self, app: App) -> Iterator[None]:
        """Hold a batch up, so that what is handed over meanwhile waits."""
        before = len(self.batches)
        self._open.clear()
        hand_over(app)
        wait_until(lambda: len(self.batches) > before, "a batch is at the gate")
        try:
            yield
        finally:
            self._open.set()


@pytest.fixture
def gate(app: App) -> Gate:
    """Provide a gate that is open."""
    return Gate(thread_of(app))


def hand_over(app: App, jobs: int = 1) -> list[FollowUp]:
    """Accept jobs, each on a thread, as a worker's slots do; return their submits, which are handed over as well."""
    submits: list[FollowUp] = []

    def one() -> None:
        following = accept(app.services, prepare_request(PHOTO), derived_job_id("test", uuid4().hex))
        app.services.post.follow((), following)
        submits.extend([following] if following else [])

    threads = [threading.Thread(target=one) for _ in range(jobs)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(submits) == jobs
    return submits


def unpublished(app: App) -> int:
    """Count the events that are not out."""
    return len(rows(app, "SELECT id FROM events WHERE published_at IS NULL"))


def await_out(app: App) -> None:
    """Wait until every event is out."""
    wait_until(lambda: not unpublished(app), "every event is out")


def expected(app: App) -> int:
    """Count the jobs that the sweep comes for at once."""
    return len(rows(app, "SELECT id FROM jobs WHERE sweep_at <= sam3d_now()"))


def waiting(app: App) -> int:
    """Count the messages of submits that are in the broker."""
    channel: Any
    with app.connection_for_read() as connection, connection.channel() as channel:
        return int(channel.queue_declare("sam3d.submit", passive=True).message_count)


def told(logs: Sequence[Any], name: str) -> list[Any]:
    """Return the lines of an event."""
    return [each for each in logs if each["event"] == name]


@contextmanager
def marks(app: App) -> Iterator[list[str]]:
    """Give the statements that mark events."""
    made: list[str] = []

    def note(_1: object, _2: object, statement: str, *_: object) -> None:
        made.extend([statement] if statement.startswith("UPDATE events SET published_at") else [])

    event.listen(app.services.engine, "before_cursor_execute", note)
    yield made
    event.remove(app.services.engine, "before_cursor_execute", note)


def test_what_is_committed_at_once_waits_once(app: App, gate: Gate) -> None:
    """Thirty jobs have sixty events and messages, one wait for the broker's confirms, and one statement."""
    with marks(app) as made:
        with gate.shut(app):
            hand_over(app, JOBS)
        await_out(app)
    wait_until(lambda: waiting(app) == JOBS + 1, "every submit is in the broker")
    assert sum(map(len, gate.batches)) == EACH * (JOBS + 1)
    assert len(gate.batches[-1]) >= EACH * JOBS
    assert len(gate.batches) <= EACH + 1  # What the first job has may go apart, for nobody else was there.
    assert len(made) <= len(gate.batches)


def test_what_goes_out_at_short_intervals_is_marked_at_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mark may come later than it, for nobody waits for it; a process that ends writes what it has."""
    monkeypatch.setattr(marks_of_events, "WITHIN_SECONDS", 1000)
    with marks(app) as made:
        for _ in range(JOBS):
            hand_over(app)
            wait_until(lambda: waiting(app) == unpublished(app), "the submit is in the broker")
        assert (made, unpublished(app)) == ([], JOBS)
        app.services.post.close()
    assert (len(made), unpublished(app)) == (1, 0)


def test_marks_that_are_due_wait_for_no_pause(app: App, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though something new waits whenever a batch is out."""
    monkeypatch.setattr(marks_of_events, "WITHIN_SECONDS", 0)
    publish, written = gate.publish, []

    def keep_busy(what: Sequence[Publication]) -> Sequence[Fate]:
        written.append(len(made))
        if len(written) < 5:
            hand_over(app)
        return publish(what)

    gate.publish = keep_busy
    with marks(app) as made:
        hand_over(app)
        wait_until(lambda: len(written) >= 5, "a batch follows a batch")
    assert written[:5] == [0, 1, 2, 3, 4]


def test_what_a_job_hands_over_goes_out_in_that_order(app: App, gate: Gate) -> None:
    """Its event, then the submit that the next one comes of."""
    submits = hand_over(app, JOBS)
    await_out(app)
    wait_until(lambda: waiting(app) == JOBS, "every submit is in the broker")
    went = [each for batch in gate.batches for each in batch]
    for submit in submits:
        of_job = [each.how["routing_key"] for each in went if submit.ticket.job_id.encode() in each.body]
        assert of_job == ["sam3d.reconstruction.accepted", Step.SUBMIT]


def test_what_comes_alone_goes_out_at_once(app: App) -> None:
    """Nothing waits for another to come."""
    took = []
    for number in range(20):
        hand_over(app)
        began = time.monotonic()
        while waiting(app) <= number:
            assert time.monotonic() < began + 30
        took.append(time.monotonic() - began)
    assert min(took) < 0.1


def test_the_lines_of_the_log_tell_of_their_job(app: App, gate: Gate) -> None:
    """Each says which job and which task it is of, though its thread is nobody's."""
    with capture_logs([structlog.contextvars.merge_contextvars]) as logs:
        with gate.shut(app), structlog.contextvars.bound_contextvars(task_id="its task"):
            following = accept(app.services, prepare_request(PHOTO), derived_job_id("test", uuid4().hex))
        assert following
        wait_until(lambda: len(told(logs, "event_published")) == 2, "both are told")
    lines = {line["job_id"]: line for line in told(logs, "event_published")}
    assert lines[following.ticket.job_id].get("task_id") == "its task"
    assert all({"event_id", "event_type", "was_routed"} <= set(line) for line in lines.values())


def test_what_the_broker_does_not_take_is_left_to_the_scheduler(app: App, gate: Gate) -> None:
    """Events stay in the outbox, the sweep comes at once for all jobs, and a batch has a line for each of both."""
    with capture_logs() as logs:
        with gate.shut(app):
            hand_over(app, JOBS)
            gate.publish = lambda what: [OSError("away")] * len(what)
        wait_until(lambda: expected(app) == JOBS + 1, "the sweep comes for every job")
    assert unpublished(app) == JOBS + 1
    for name in ("event_delayed", "step_unsent"):
        counts = [line["count"] for line in told(logs, name)]
        assert (sum(counts), max(counts) >= JOBS) == (JOBS + 1, True)


def test_an_error_that_nobody_foresaw_stops_nothing(app: App, gate: Gate) -> None:
    """It is told, the sweep comes for the jobs, and the next batch goes."""
    publish = gate.publish
    with capture_logs() as logs:
        gate.publish = _fail
        hand_over(app, 2)
        wait_until(lambda: expected(app) == 2, "the sweep comes for both jobs")
        gate.publish = publish
        hand_over(app)
        wait_until(lambda: waiting(app) == 1, "the next goes")
    assert all(line["exc_info"] and line["next"] for line in told(logs, "outgoing_broke"))
    assert sum(line["count"] for line in told(logs, "outgoing_broke")) == 2 * EACH
    wait_until(lambda: unpublished(app) == 2, "the next event is marked, and no other")


def _fail(_: object) -> NoReturn:
    raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_where_the_thread_has_died_everybody_publishes_himself(app: App, gate: Gate) -> None:
    """As a process does that never had one."""
    gate.publish = _die
    hand_over(app)
    thread: Any = thread_of(app)
    thread._thread.join(30)
    assert not thread._thread.is_alive()
    before = (len(gate.batches), unpublished(app), waiting(app))
    hand_over(app, JOBS)
    assert (len(gate.batches), unpublished(app), waiting(app) - JOBS) == before


def _die(_: object) -> NoReturn:
    raise SystemExit


def test_who_finds_no_room_waits_for_it(app: App, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What he has would overtake what waits; where there is none for long, he publishes it himself."""
    monkeypatch.setattr(outgoing, "MOST", 3)
    with gate.shut(app):
        waits = threading.Thread(target=hand_over, args=(app, 4))
        waits.start()
        wait_until(lambda: len(_waiting_of(app)) >= 3, "there is no room")
        assert waits.is_alive()
        assert len(_waiting_of(app)) == 3
        monkeypatch.setattr(outgoing, "ROOM_SECONDS", 0.1)
        [own] = hand_over(app)
        out = rows(app, "SELECT job_id::text FROM events WHERE published_at IS NOT NULL")
        assert own.ticket.job_id in [row["job_id"] for row in out]
        assert waiting(app) >= 1
    waits.join(30)
    await_out(app)
    wait_until(lambda: waiting(app) == 6, "every submit is in the broker")
    assert max(map(len, gate.batches)) <= 3


def _waiting_of(app: App) -> Sequence[object]:
    thread: Any = thread_of(app)
    waiting: Sequence[object] = thread._waiting
    return waiting


def test_what_was_handed_over_is_out_before_the_process_ends(app: App, gate: Gate) -> None:
    """However much it is."""
    with gate.shut(app):
        hand_over(app, JOBS)
        threading.Timer(0.5, gate._open.set).start()
        app.close()
    assert (unpublished(app), waiting(app)) == (0, JOBS + 1)


def test_a_process_ends_though_the_broker_does_not_answer(
    app: App, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler has the rest, and comes at once."""
    monkeypatch.setattr(outgoing, "FLUSH_SECONDS", 0.2)
    with capture_logs() as logs, gate.shut(app):
        hand_over(app, 3)
        app.services.post.close()
        assert expected(app) == 4
    (line,) = told(logs, "outgoing_left")
    assert line["left"] in (4 * EACH, 4 * EACH - 1)


def test_a_receipt_that_takes_long_holds_no_other_event_up(
    app: App, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made by its job's own task, before its event is handed over."""
    simulator.update(run_time=0)
    slow = create_app(app.services.settings.having(SAM3D_RECEIPT_KEY=make_key()))
    slow.services.post.start()
    is_asked, may_go = threading.Event(), threading.Event()

    def keep(*_: object) -> Sequence[Any]:
        is_asked.set()
        assert may_go.wait(30)
        return ()

    monkeypatch.setattr(slow.services.post.receipts, "keep", keep)
    following: FollowUp | None = accept(slow.services, prepare_request(PHOTO), derived_job_id("test", uuid4().hex))

    def go_on() -> None:
        step = following
        while step:
            step = execute(slow.services, step.step, step.ticket)

    task = threading.Thread(target=go_on)
    task.start()
    assert is_asked.wait(30)
    hand_over(slow)
    wait_until(lambda: unpublished(slow) == 1, "all but the last event of the slow job are out")
    may_go.set()
    task.join(30)
    await_out(slow)
    slow.close()
