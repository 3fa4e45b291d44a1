"""The migrations make what the models say, once, for several at once, and can be undone."""

import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.command import downgrade
from alembic.command import upgrade as command_upgrade
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from worker.database import (
    lineage,
    records,  # noqa: F401 - Its tables are among the metadata.
    schema,
)
from worker.database.engine import Connection, DatabaseError, create_database_engine, transaction
from worker.database.tables import metadata
from worker.errors import ConfigurationError
from worker.rules.lifecycle import JobState


def test_models_equal_migrations(database_url: str) -> None:
    """An upgraded database differs in nothing from the models."""
    schema.upgrade(database_url)
    engine = create_database_engine(database_url, 1)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_several_may_upgrade_at_once(database_url: str) -> None:
    """Pods that start together wait for the first and find nothing left to do."""
    command = [sys.executable, "-c", f"from worker.database.schema import upgrade; upgrade({database_url!r})"]
    pods = [subprocess.Popen(command) for _ in range(3)]
    assert [pod.wait(timeout=60) for pod in pods] == [0, 0, 0]
    engine = create_database_engine(database_url, 1)
    schema.require_schema(engine)
    engine.dispose()


def test_downgrade_leaves_nothing(database_url: str) -> None:
    """Undoing every migration leaves no table and no function of ours."""
    schema.upgrade(database_url)
    downgrade(schema._alembic(database_url), "base")
    engine = create_database_engine(database_url, 1)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_proc WHERE proname LIKE 'sam3d%'")).scalar() == 0
    engine.dispose()


def test_an_older_schema_says_what_to_run(database_url: str) -> None:
    """A worker that finds an older schema names the command."""
    engine = create_database_engine(database_url, 1)
    with pytest.raises(ConfigurationError, match="run `sam3d db upgrade`"):
        schema.require_schema(engine)
    engine.dispose()


def test_the_function_of_time_can_be_shifted(database_url: str) -> None:
    """One function gives the time, so that a test can move the whole database to another hour."""
    schema.upgrade(database_url)
    engine = create_database_engine(database_url, 1)
    with transaction(engine) as connection:
        connection.execute(
            text(
                "CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE "
                "AS $$ SELECT clock_timestamp() + interval '1 hour' $$"
            )
        )
        ahead = connection.execute(text("SELECT sam3d_now() - clock_timestamp() > interval '59 minutes'")).scalar()
    assert ahead
    engine.dispose()


def test_a_database_of_the_last_release_is_compared_once(database_url: str) -> None:
    """It may be a backup, so its jobs are compared with the history; one that begins is not."""
    config = schema._alembic(database_url)
    command_upgrade(config, "0007")
    engine = create_database_engine(database_url, 1)
    with transaction(engine) as connection:
        job_id = "00000000-0000-4000-8000-000000000001"
        columns = "id, state, fingerprint, parameters, metadata, sweep_at"
        connection.execute(
            text(f"INSERT INTO jobs ({columns}) VALUES ('{job_id}', 'accepted', '', '{{}}', '{{}}', now())")
        )
        connection.execute(text(f"INSERT INTO submissions (token, job_id, worker) VALUES ('{job_id}', '{job_id}', '')"))
    schema.upgrade(database_url)
    with transaction(engine) as connection:
        seen = lineage.read(connection, "default")
    assert (seen.is_new, seen.is_settled) == (False, False)
    engine.dispose()


def test_jobs_of_all_states_go_there_and_back(database_url: str) -> None:
    """An upgrade of a database with jobs of the last release changes none; nor does going back, once nobody waits."""
    config = schema._alembic(database_url)
    command_upgrade(config, "0011")
    engine = create_database_engine(database_url, 1)
    before = [state for state in JobState if state is not JobState.SHARING]
    with transaction(engine) as connection:
        for state in before:
            _add_job(connection, state)
    seen = text("SELECT state FROM jobs ORDER BY accepted_at")
    for move, revision in ((command_upgrade, "head"), (downgrade, "0011")) * 2:
        move(config, revision)
        with transaction(engine) as connection:
            assert connection.execute(seen).scalars().all() == before
    engine.dispose()


RUN = "00000000-0000-4000-8000-000000000001"


def test_nobody_goes_back_while_jobs_share_a_run(database_url: str) -> None:
    """None of them would hear of its end. It says what to do; what had begun is undone."""
    schema.upgrade(database_url)
    engine = create_database_engine(database_url, 1)
    with transaction(engine) as connection:
        _add_job(connection, JobState.SHARING, id=f"'{RUN}'", shares=f"'{RUN}'")
    with pytest.raises(DatabaseError, match="Unset SAM3D_SHARE_RUNS"):
        downgrade(schema._alembic(database_url), "0011")
    schema.require_schema(engine)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE jobs SET state = 'cancelled'"))
    downgrade(schema._alembic(database_url), "0011")
    engine.dispose()


def _add_job(connection: Connection, state: JobState, **more: str) -> None:
    always = {"id": "gen_random_uuid()", "request_id": f"'{state}'", "error_code": "'x'", "fingerprint": "''"}
    values = {**always, "state": f"'{state}'", **more}
    columns, given = ", ".join(values), ", ".join(values.values())
    connection.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({given})"))


def test_each_revision_is_the_number_of_its_file() -> None:
    """What a command compares the schema with is what Alembic would say, without importing it."""
    walked = ScriptDirectory.from_config(schema._alembic("")).walk_revisions()
    assert schema.revisions() == tuple(script.revision for script in walked)


def test_a_run_that_only_its_job_has_comes_into_the_ledger(database_url: str) -> None:
    """An early release wrote it nowhere else, or to its submit in the vendor's writing alone: nobody else gets it."""
    config = schema._alembic(database_url)
    command_upgrade(config, "0015")
    engine = create_database_engine(database_url, 1)
    add = "INSERT INTO submissions (token, job_id, worker, request_id) VALUES (gen_random_uuid(), '{}', '', 'A-B')"
    with transaction(engine) as connection:
        _add_job(connection, JobState.PROCESSING, id=f"'{RUN}'", request_id="'A-B'")
        _add_job(connection, JobState.SUCCEEDED, request_id="'C-D'")
        connection.execute(text(add.format(RUN)))
    schema.upgrade(database_url)
    with transaction(engine) as connection:
        told = connection.execute(text("SELECT run, verdict FROM submissions ORDER BY run")).all()
    assert [tuple(row) for row in told] == [("ab", None), ("cd", "adopted")]
    engine.dispose()


_POST = """
INSERT INTO submissions (token, job_id, worker, verdict, request_id, run, told)
VALUES (gen_random_uuid(), :job, :name, :verdict, :request_id, :run, :told)
"""
_KNOWN_BY = (
    {"name": "holder", "verdict": "accepted", "request_id": "a-b", "run": "ab", "told": "ab"},
    {"name": "told", "verdict": "unknown", "request_id": None, "run": None, "told": "ab"},
    {"name": "early", "verdict": "accepted", "request_id": "A-B", "run": None, "told": None},
)


def test_a_run_that_several_know_since_before_is_left_alone(database_url: str) -> None:
    """Whatever changes of their rows, and whosever it turns out to be; it is an answer to nobody any more."""
    command_upgrade(schema._alembic(database_url), "0016")
    engine = create_database_engine(database_url, 1)
    with transaction(engine) as connection:
        _add_job(connection, JobState.SUBMITTING, id=f"'{RUN}'", request_id="NULL")
        for each in _KNOWN_BY:
            connection.execute(text(_POST), {"job": RUN, **each})
    schema.upgrade(database_url)

    def written(post: str, values: str) -> int:
        with transaction(engine) as connection:
            return connection.execute(text(f"UPDATE submissions SET {values} WHERE worker ~ '{post}'")).rowcount

    assert written(".", "run = run, told = told, verdict = verdict, missed_at = sam3d_now()") == 3
    assert written("holder", "run = NULL, verdict = 'unknown'") == 1
    assert written("told", "run = told, verdict = 'adopted'") == 1
    assert written("told", "run = NULL, verdict = 'unknown'") == 1
    for post in ("holder", "told", "early"):
        with pytest.raises(DatabaseError, match="another submit knows this run"):
            written(post, "run = 'ab', told = 'ab', verdict = 'accepted'")
    engine.dispose()
