"""Who comes, goes, retries or ends a shared run locks in one order: the key, the run, those who share it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from tests.support.in_process import PHOTO
from tests.support.requests import end, rows, send
from tests.support.sharing import send_all
from tests.support.waiting import wait_until
from worker.app import App
from worker.database import arrivals, retention, retries, shares
from worker.database.arrivals import Key
from worker.database.engine import Connection, transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.work.cancelling import cancel
from worker.work.retrying import retry

WAITS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@contextmanager
def kept_waiting(app: App, action: Callable[[], object]) -> Iterator[None]:
    """Do something on another thread that waits for a lock which we hold, and comes to its end afterwards."""
    waiting = threading.Thread(target=action)
    waiting.start()
    wait_until(lambda: rows(app, WAITS), "it waits for us", 5)
    yield
    waiting.join(10)


def is_free(connection: Connection, job_id: str) -> bool:
    """Tell whether nobody else has locked a job."""
    query = "SELECT FROM jobs WHERE id = %(id)s FOR UPDATE SKIP LOCKED"
    return connection.exec_driver_sql(query, {"id": UUID(job_id)}).first() is not None


def lock_run(connection: Connection, run_id: str) -> None:
    """Lock a run, as whoever ends it does."""
    connection.exec_driver_sql("SELECT FROM jobs WHERE id = %(id)s FOR UPDATE", {"id": UUID(run_id)})


def test_a_body_that_comes_again_waits_for_the_run_first(sharing: App) -> None:
    """It would free the identity of a job that waits, which the end of the run writes to as well."""
    request = {name: each for name, each in prepare_request(PHOTO).items() if name != "job_id"}
    derived = derived_job_id("body", "b-1")
    submit = accept(sharing.services, request, derived, timedelta(0))
    assert submit
    [first] = rows(
        sharing, "UPDATE jobs SET accepted_at = accepted_at - interval '1 hour' WHERE NOT is_shared RETURNING id"
    )
    with sharing.services.engine.connect() as connection:
        lock_run(connection, submit.ticket.job_id)
        again = kept_waiting(sharing, lambda: accept(sharing.services, request, derived, timedelta(0)))
        with again:
            assert is_free(connection, str(first["id"]))
            connection.commit()


def test_who_cancels_waits_for_the_run_first(sharing: App) -> None:
    """The run's end writes to his job as well."""
    sharers, submit = send_all(sharing, 2)
    with sharing.services.engine.connect() as connection:
        lock_run(connection, submit.ticket.job_id)
        with kept_waiting(sharing, lambda: cancel(sharing.services, sharers[0])):
            assert is_free(connection, sharers[0])
            connection.commit()


def test_who_retries_waits_for_the_key_first(sharing: App) -> None:
    """A request of the same key may be about to take his job's place, and has its key."""
    sharers, submit = send_all(sharing, 1)
    end(sharing, "failed", submit.ticket.job_id)
    end(sharing, "failed", sharers[0])
    [row] = rows(sharing, "SELECT share_key FROM jobs WHERE NOT is_shared")
    with sharing.services.engine.connect() as connection:
        shares.lock(connection, row["share_key"])
        with kept_waiting(sharing, lambda: retry(sharing.services, sharers[0])):
            assert is_free(connection, sharers[0])
            connection.commit()


def test_a_request_of_the_key_does_not_wait_for_who_retries(app: App) -> None:
    """Each would wait for the other: the one for the link to the job, the other for the key."""
    first = send(app, idempotency_key="order-7")
    end(app, "failed", first)
    with transaction(app.services.engine) as connection:
        retries.lock(connection, first)
        send(app, idempotency_key="order-7")
    assert rows(app, "SELECT count(*) FROM jobs")[0]["count"] == 2


def test_what_is_being_retried_is_not_pruned(app: App) -> None:
    """It is left for the next time, with no wait."""
    jobs = [send(app) for _ in range(3)]
    for job_id in jobs:
        end(app, "failed", job_id)
    old = retention.old_jobs(timedelta(0))
    with transaction(app.services.engine) as retrying, transaction(app.services.engine) as pruning:
        retries.lock(retrying, jobs[0])
        assert retention.delete_jobs(pruning, old, 100) == 2
    assert [str(row["id"]) for row in rows(app, "SELECT id FROM jobs")] == jobs[:1]


def test_what_a_new_request_links_to_is_not_pruned(app: App) -> None:
    """The link would lead nowhere, and the request break."""
    first = send(app, idempotency_key="order-7")
    end(app, "failed", first)
    with app.services.engine.connect() as coming, transaction(app.services.engine) as pruning:
        assert arrivals.last_of_key(coming, Key("", "order-7")) == first
        assert retention.delete_jobs(pruning, retention.old_jobs(timedelta(0)), 100) == 0
