"""A database that refuses, restarts, freezes, or loses its reply to a COMMIT: jobs wait, none is lost or paid twice."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg
import pytest
from sqlalchemy import text

from tests.support.deployment import IMPATIENT, Service, start_all, told_again
from tests.support.judge import Judge
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.proxy import COMMITTED, UPDATED, WRITTEN, Proxy
from tests.support.waiting import wait_until
from worker.database import engine as database
from worker.database.engine import create_database_engine, is_outage, transaction
from worker.database.schema import upgrade

DELAYED = ("request_delayed", "step_delayed", "answer_delayed")


def test_jobs_outlive_a_database_that_refuses(deployment: Service, judge: Judge, postgres: PrivatePostgres) -> None:
    """Read-only, full, deadlocked, out of connections, restarted at once: what is asked for meanwhile comes later."""
    start_all(deployment)
    name = deployment.environment["SAM3D_DATABASE_URL"].rpartition("/")[2]
    troubles = {
        "25006": _read_only(postgres, name),
        "53100": _raising(judge, "53100"),
        "40P01": _raising(judge, "40P01"),
        # Who is not let in is not told the SQLSTATE, but why.
        "too many clients already": _without_connections(postgres, name),
        "": _restarted(postgres),
    }
    ids: list[str] = []
    for reason, trouble in troubles.items():
        ids += judge.submit(4)
        judge.await_states(ids, "processing", "fetching", "succeeded")
        with told_again(deployment, *DELAYED), trouble:
            ids += judge.submit(4)
            _await_reason(deployment, reason)
    judge.check(ids)


def _await_reason(deployment: Service, reason: str) -> None:
    """Wait until the worker was told why."""
    wait_until(lambda: reason in deployment.log_of("worker"), f"{reason} is met")


@contextmanager
def _read_only(postgres: PrivatePostgres, name: str) -> Iterator[None]:
    """Let every session of the database only read."""
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgres.disconnect(name)
    yield
    postgres.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    postgres.disconnect(name)


@contextmanager
def _raising(judge: Judge, sqlstate: str) -> Iterator[None]:
    """Answer every write to a job with an error."""
    judge.rows(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{sqlstate}'; END $$"
    )
    judge.rows("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
    yield
    judge.rows("DROP FUNCTION refuse CASCADE")


@contextmanager
def _without_connections(postgres: PrivatePostgres, name: str) -> Iterator[None]:
    """Take every connection that the server has to give."""
    others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
    with ExitStack() as taken:
        first = _take_all(postgres, taken)[0]
        while first.execute(others, [name]).fetchone() != (0,):
            _take_all(postgres, taken)
        yield


def _take_all(postgres: PrivatePostgres, taken: ExitStack) -> list[psycopg.Connection]:
    """Connect until the server refuses, and return the connections."""
    made: list[psycopg.Connection] = []
    address = postgres.url.replace("+psycopg", "")
    with suppress(psycopg.OperationalError):
        while True:
            made.append(taken.enter_context(psycopg.connect(address, autocommit=True)))
    return made


@contextmanager
def _restarted(postgres: PrivatePostgres) -> Iterator[None]:
    """End the server without a checkpoint, and start it again."""
    postgres.stop(immediate=True)
    yield
    postgres.start()


def test_a_frozen_database_holds_nobody(deployment: Service, judge: Judge, postgres: PrivatePostgres) -> None:
    """Whoever waits for an answer gives up, and everything goes on when the server does."""
    start_all(deployment, **IMPATIENT)
    ids = judge.submit(8)
    judge.await_states(ids, "processing", "fetching", "succeeded", at_least=4)
    with told_again(deployment, "scheduler_waits"), told_again(deployment, *DELAYED):
        postgres.freeze()
        ids += judge.submit(4)
    postgres.thaw()
    judge.check(ids)


@pytest.mark.parametrize("reply", [COMMITTED, UPDATED, WRITTEN], ids=["committed", "updated", "written"])
def test_the_reply_to_a_commit_is_lost(
    deployment: Service, judge: Judge, postgres: PrivatePostgres, reply: bytes
) -> None:
    """Whether it was committed is not known to the worker: no run is started twice, no job is forgotten."""
    with Proxy(postgres.port) as proxy:
        url = deployment.environment["SAM3D_DATABASE_URL"].replace(f":{postgres.port}/", f":{proxy.port}/")
        start_all(deployment, SAM3D_DATABASE_URL=url)
        proxy.lose_replies(reply, times=25)
        ids = judge.submit(20)
        wait_until(lambda: proxy.lost_replies == 25, "replies were lost")
        judge.check(ids)


def test_no_wait_is_endless(postgres: PrivatePostgres, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server is an outage for who has a connection and for who wants one; afterwards it works again."""
    waits = (database.POOL_SECONDS, database.ANSWER_SECONDS, database.CONNECT_SECONDS, database.ANSWER_SECONDS)
    assert sum(waits) <= 30
    monkeypatch.setattr(database, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    engine = create_database_engine(database_url, 2)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        postgres.freeze()
        with pytest.raises(database.DatabaseError) as caught:
            connection.execute(text("SELECT 2"))
    assert is_outage(caught.value)
    with pytest.raises(database.DatabaseError), transaction(engine):
        pytest.fail("a frozen server gave a connection")
    postgres.thaw()
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT 3")).scalar() == 3
    engine.dispose()


def test_an_empty_pool_is_an_outage(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets no connection of the process's own is told so in time, and tries again."""
    monkeypatch.setattr(database, "POOL_SECONDS", 0.2)
    engine = create_database_engine(database_url, 1)
    with transaction(engine), pytest.raises(database.DatabaseError) as caught, transaction(engine):
        pytest.fail("there is one connection")
    assert is_outage(caught.value)
    engine.dispose()


def test_a_migration_may_take_its_time(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are those of the service's own statements: the schema is changed without them."""
    monkeypatch.setattr(database, "ANSWER_SECONDS", 0)
    upgrade(database_url)
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
