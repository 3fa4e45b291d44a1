"""What was committed stays committed, whatever the server's default: our sessions ask for it themselves."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import text

from tests.support.services.postgres import PrivatePostgres
from worker.database import engine as database
from worker.database.engine import (
    DatabaseError,
    Engine,
    create_database_engine,
    once_committed,
    ping,
    single,
    transaction,
)
from worker.database.server_checks import require_durable
from worker.errors import ConfigurationError


def _name(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """Provide an engine that has no connection yet."""
    made = create_database_engine(migrated_url, 4)
    yield made
    made.dispose()


@pytest.mark.parametrize(
    ("default", "ours"),
    [("off", "on"), ("local", "on"), ("on", "on"), ("remote_write", "remote_write"), ("remote_apply", "remote_apply")],
)
def test_a_session_keeps_at_least_its_own_commits(
    postgres: PrivatePostgres, migrated_url: str, engine: Engine, default: str, ours: str
) -> None:
    """A default that may lose commits is raised, one that keeps more is left."""
    postgres.execute(f"ALTER DATABASE {_name(migrated_url)} SET synchronous_commit = {default}")
    with transaction(engine) as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == ours


def test_a_burst_of_kills_loses_no_commit(postgres: PrivatePostgres, migrated_url: str, engine: Engine) -> None:
    """The server ends without a checkpoint right after each commit, four times."""
    postgres.execute(f"ALTER DATABASE {_name(migrated_url)} SET synchronous_commit = off")
    for kill in range(4):
        for number in range(10):
            with transaction(engine) as connection:
                connection.execute(text("INSERT INTO accounts (name) VALUES (:name)"), {"name": f"{kill}-{number}"})
        postgres.stop(immediate=True)
        postgres.start()
    with transaction(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM accounts WHERE name LIKE '_-_'")).scalar() == 40


def test_a_connection_that_answered_just_now_is_not_tried(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was idle is, and one whose server said something meanwhile: twelve round trips a job are saved."""
    pings: list[object] = []
    monkeypatch.setattr(engine.dialect, "do_ping", pings.append)
    for _ in range(5):
        ping(engine)
    assert pings == []
    monkeypatch.setattr(database, "IDLE_SECONDS", 0.0)
    ping(engine)
    assert len(pings) == 1


def test_a_server_that_may_lose_commits_is_told_of(engine: Engine) -> None:
    """The tests' own server is one."""
    with pytest.raises(ConfigurationError, match="fsync=off and full_page_writes=off"):
        require_durable(engine)


def test_what_is_said_of_a_commit_is_said_after_it(engine: Engine) -> None:
    """Where the work is undone, even by its own commit, nothing is said, and nothing is left to be said later."""
    said: list[str] = []
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE said (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    with pytest.raises(DatabaseError):
        say_and_insert(engine, said, "(1), (1)")
    say_and_insert(engine, said, "(2)")
    assert said == ["(2)"]


def say_and_insert(engine: Engine, said: list[str], values: str) -> None:
    """Insert values, and say so once that is committed."""
    with transaction(engine) as connection:
        once_committed(connection, lambda: said.append(values))
        connection.execute(text(f"INSERT INTO said VALUES {values}"))
        assert said == []


def test_no_query_is_compiled(postgres: PrivatePostgres, migrated_url: str, engine: Engine) -> None:
    """Whatever the server's default is: that took the sweep a hundred times what its query does."""
    postgres.execute(f"ALTER DATABASE {_name(migrated_url)} SET jit = on")
    with single(engine) as connection:
        assert connection.execute(text("SHOW jit")).scalar() == "off"


def test_a_single_statement_is_committed_by_itself(engine: Engine) -> None:
    """Others see it at once, and nothing that comes after it undoes it; the next who has the connection commits."""
    add = text("INSERT INTO accounts (name) VALUES (:name)")
    names = text("SELECT count(*) FROM accounts WHERE name LIKE 'of %'")
    with single(engine) as connection:
        connection.execute(add, {"name": "of one"})
        with transaction(engine) as another:
            assert another.execute(names).scalar() == 1
    with suppress(ZeroDivisionError), transaction(engine) as connection:
        connection.execute(add, {"name": "of two"})
        raise ZeroDivisionError
    with single(engine) as connection:
        assert connection.execute(names).scalar() == 1


@pytest.mark.parametrize("is_lost", [False, True])
def test_what_became_of_a_single_statement_is_nothing_to_the_next_who_has_the_connection(
    postgres: PrivatePostgres, engine: Engine, *, is_lost: bool
) -> None:
    """He has a transaction, which is undone as a whole, whether it failed or the server went away."""
    names = text("SELECT count(*) FROM accounts WHERE name = 'undone'")
    for wrong in (
        "SELECT 1 / 0",
        "SELECT pg_terminate_backend(pg_backend_pid())" if is_lost else "SELECT 'a'::integer",
    ):
        with pytest.raises(DatabaseError), single(engine) as connection:
            connection.execute(text(wrong))
    for _ in range(2):
        with suppress(ZeroDivisionError), transaction(engine) as connection:
            connection.execute(text("INSERT INTO accounts (name) VALUES ('undone')"))
            raise ZeroDivisionError
    with single(engine) as connection:
        assert connection.execute(names).scalar() == 0


def test_a_connection_that_cannot_have_transactions_again_is_given_up(engine: Engine) -> None:
    """Such as one on which somebody has begun one with a statement of his own: nobody gets it, and it is undone."""
    with single(engine) as connection:
        connection.execute(text("BEGIN"))
        connection.execute(text("INSERT INTO accounts (name) VALUES ('undone')"))
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    with single(engine) as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != backend
        assert connection.execute(text("SELECT count(*) FROM accounts WHERE name = 'undone'")).scalar() == 0
