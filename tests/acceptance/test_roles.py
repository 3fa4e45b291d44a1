"""A role that may not change the schema is enough for everything but `sam3d db upgrade`."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql

from tests.documents import OPERATIONS, part_of
from tests.support.deployment import Service, deployed
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.client import Client
from worker.database.locks import SCHEDULER_LOCK
from worker.database.schema import upgrade
from worker.simulator import Simulator

OWNER, ROLE = "sam3d_owner", "sam3d_worker"


def grants() -> list[str]:
    """Return the statements that an operator is told to run."""
    code = part_of(OPERATIONS, "grants").removeprefix("```sql\n").removesuffix("```")
    lines = [line for line in code.splitlines() if not line.startswith("--")]
    assert len(lines) == 6
    return lines


@pytest.fixture
def role_url(postgres: PrivatePostgres, database_url: str) -> Iterator[str]:
    """Provide a database whose owner has made the schema and granted what the page says, as the other role."""
    name = sql.Identifier(database_url.rpartition("/")[2])
    postgres.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE").format(sql.Identifier(OWNER)))
    postgres.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(OWNER)))
    owner_url = database_url.replace("postgres@", f"{OWNER}@")
    upgrade(owner_url)
    execute(owner_url, *grants())
    yield database_url.replace("postgres@", f"{ROLE}@")
    execute(database_url, *(f"DROP OWNED BY {each} CASCADE" for each in (ROLE, OWNER)))
    postgres.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(name))
    for each in (ROLE, OWNER):
        postgres.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(each)))


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Execute statements, and return what the last of them gives."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for each in statements:
            cursor = connection.execute(each.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def limited_service(
    vhost_url: str, role_url: str, simulator: Simulator, zygote: Zygote, tmp_path: Path
) -> Iterator[Service]:
    """Provide a worker and a scheduler that have that role."""
    with deployed(vhost_url, role_url, simulator, tmp_path, zygote, SAM3D_REQUESTS_PER_MINUTE="600") as started:
        started.start("worker", "worker", "--concurrency", "4")
        started.start("scheduler", "scheduler")
        wait_until(lambda: "worker_ready" in started.log_of("worker"), "the worker consumes")
        yield started


def test_a_role_without_ddl_is_enough(limited_service: Service, role_url: str, tmp_path: Path) -> None:
    """A whole job, the locks of worker and scheduler, what a person asks, and the deletion of what is old."""
    with Client(limited_service.settings) as client:
        job_id = client.submit("worker/photos/cat.png")
        assert client.wait(job_id, timedelta(seconds=60)).has_succeeded
        assert [path.name for path in client.download(job_id, tmp_path)] == ["model.glb"]
    for command in (["job", job_id], ["jobs"], ["budget"], ["hold", "--message", "a test"], ["resume"]):
        limited_service.run(*command)
    locks = execute(
        role_url,
        "SELECT objid::bigint FROM pg_locks JOIN pg_stat_activity USING (pid) "
        f"WHERE locktype = 'advisory' AND granted AND usename = '{ROLE}'",
    )
    assert (SCHEDULER_LOCK,) in locks
    assert len(locks) >= 2
    limited_service.processes["scheduler"].terminate()
    limited_service.start("scheduler", "scheduler", SAM3D_RETENTION="1")
    wait_until(lambda: not execute(role_url, "SELECT id FROM jobs"), "the job is deleted")
    for name in ("worker", "scheduler"):
        assert "InsufficientPrivilege" not in limited_service.log_of(name)
        assert "42501" not in limited_service.log_of(name)


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE mine (id int)", "ALTER TABLE jobs ADD mine int", "DROP TABLE jobs", "TRUNCATE jobs CASCADE"],
)
def test_the_role_can_not_change_the_schema(role_url: str, statement: str) -> None:
    """So the test above shows something."""
    with pytest.raises(errors.InsufficientPrivilege):
        execute(role_url, statement)


def test_what_the_next_upgrade_adds_is_granted_too(role_url: str) -> None:
    """A table that the owner makes later can be written at once."""
    execute(role_url.replace(ROLE, OWNER), "CREATE TABLE later (id bigserial, text text)")
    assert execute(role_url, "INSERT INTO later (text) VALUES ('a') RETURNING id") == [(1,)]
