"""The embedded service has this process to itself."""

import queue
import threading
import time
from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import pytest
from celery.worker import WorkController
from kombu.pools import ProducerPool

from worker import embedded
from worker.app import create_app
from worker.broker.publishing import Publication
from worker.config.environment import Settings
from worker.errors import ConfigurationError
from worker.rules.lifecycle import FollowUp, Step, Ticket
from worker.work import executor


def test_a_second_embedded_service_of_a_process_is_refused() -> None:
    """It would get the first one's messages: the in-memory broker is one for the process, whatever its URL."""
    with embedded.embedded_settings(is_live=False) as settings, embedded.running_service(settings):
        second = embedded.running_service(settings)
        with pytest.raises(ConfigurationError, match="runs in this process already"):
            second.__enter__()


def test_what_an_earlier_service_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages name jobs of a database that is gone; the in-memory broker of a process outlives the service."""
    stale, fresh = (FollowUp(Step.POLL, Ticket(str(uuid4()), 1), timedelta(0)) for _ in range(2))
    heard: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(executor, "execute", lambda *due: heard.put(due[-1].job_id))
    with embedded.embedded_settings(is_live=False) as settings:
        with embedded.running_service(settings):
            pass
        with closing(create_app(settings)) as earlier:
            earlier.services.post.send(stale)
        with embedded.running_service(settings) as app:
            app.services.post.send(fresh)
            assert heard.get(timeout=60) == fresh.ticket.job_id


def test_its_tasks_hand_over_what_they_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """To one thread, as a worker's do; it is out before the service ends."""
    went = list[str]()
    publish = Publication.publish

    def slowly(publication: Publication, producers: ProducerPool) -> bool:
        time.sleep(0.2)
        went.append(threading.current_thread().name)
        return publish(publication, producers)

    monkeypatch.setattr(Publication, "publish", slowly)
    monkeypatch.setattr(executor, "execute", lambda *_: None)
    follow_up = FollowUp(Step.POLL, Ticket(str(uuid4()), 1), timedelta(0))
    with embedded.embedded_settings(is_live=False) as settings, embedded.running_service(settings) as app:
        for _ in range(5):
            app.services.post.follow((), follow_up)
    assert went == ["outgoing"] * 5


def test_a_service_that_is_stopped_at_once_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it starts: a worker that went on would work for a database that is gone."""
    start = WorkController.start

    def start_late(worker: WorkController) -> None:
        time.sleep(1)
        start(worker)

    monkeypatch.setattr(WorkController, "start", start_late)
    before = set(threading.enumerate())
    with embedded.embedded_settings(is_live=False) as settings, embedded.running_service(settings):
        pass
    assert [each.name for each in set(threading.enumerate()) - before if each.is_alive()] == []


def test_the_next_embedded_service_of_a_process_starts() -> None:
    """One that could not start is no service that runs."""
    broken = Settings().having(SAM3D_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    for _ in range(2):
        with pytest.raises(Exception, match=r"127\.0\.0\.1"), embedded.running_service(broken):
            pass
