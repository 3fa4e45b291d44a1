"""Statements are built once in a process, and executed with parameters."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Select, UpdateBase, event

from tests.support.in_process import settings_of
from tests.support.judge import tiny_image
from tests.walks import Walk, Walker, measured
from worker.app import App, create_app
from worker.database import engine as engine_module
from worker.database.engine import Engine
from worker.database.tables import jobs
from worker.rules.outcome import Learnt
from worker.simulator import Simulator


class Executed(Walk):
    """The statements that are executed while a job is worked on."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self.statements: list[Any] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Keep what is executed."""
        self.stages[name] = []

        def keep(_: object, statement: object, *__: object) -> None:
            if isinstance(statement, Select | UpdateBase):
                self.statements.append(statement)

        event.listen(self._engine, "before_execute", keep)
        try:
            yield
        finally:
            event.remove(self._engine, "before_execute", keep)


@pytest.fixture(params=[None, 6000], ids=["unlimited", "limited"])
def app(request: pytest.FixtureRequest, migrated_url: str, simulator: Simulator) -> Iterator[App]:
    """Provide an app without a limit of requests and one with it, whose requests need slots."""
    settings = settings_of(f"memory://{uuid4().hex}", migrated_url, simulator)
    built = create_app(settings.having(SAM3D_REQUESTS_PER_MINUTE=request.param))
    yield built
    built.close()


def test_a_second_job_has_no_statement_built(app: App) -> None:
    """To build one, and to find what it was compiled to, takes longer than all else of a query."""
    first = _executed(app)
    app.services.outlook._stale_at = float("inf")  # What it learns every few seconds is not a job's.
    built = [str(each) for each in _executed(app) if not any(each is known for known in first)]
    assert len(first) > 10
    assert built == []


class Waits(Walk):
    """How often a worker waits for the database while a job is worked on, by what its driver is told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self.count = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count how often the server is ready: once for all that it was sent without waiting."""
        self.stages[name] = []
        with TemporaryFile() as told:

            def trace(driver: Any, *_: object) -> None:
                driver.pgconn.trace(told.fileno())

            event.listen(self._engine, "checkout", trace)
            event.listen(self._engine, "checkin", _untrace)
            try:
                yield
            finally:
                event.remove(self._engine, "checkout", trace)
                event.remove(self._engine, "checkin", _untrace)
            told.seek(0)
            self.count += told.read().count(b"ReadyForQuery")


def _untrace(driver: Any, _: object) -> None:
    driver.pgconn.untrace()


def test_a_job_waits_seldom_for_the_database(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BEGIN, each statement, COMMIT and each look at a lock are a round trip to a server that may be far."""
    monkeypatch.setattr(engine_module, "IDLE_SECONDS", float("inf"))  # A slow machine lets connections become idle.
    _executed(app)
    app.services.outlook._stale_at = float("inf")
    photo, waits = tmp_path / "new.png", Waits(app.services.engine)
    photo.write_bytes(b64decode(tiny_image()))  # The model of another one is stored already.
    Walker(app, photo).walk(waits)
    assert waits.count <= (UNLIMITED if app.services.settings.budget.limit is None else LIMITED)


UNLIMITED, LIMITED = 11, 12
"""Round trips of a job that is polled once, without a request limit and with one."""


def _executed(app: App) -> list[Any]:
    executed = Executed(app.services.engine)
    Walker(app).walk(executed)
    return executed.statements


def test_no_parameter_is_left_out(app: App, simulator: Simulator) -> None:
    """A name that a statement does not have would be passed over in silence."""
    left_out: dict[str, set[str]] = {}

    def look(_1: object, _2: object, statement: str, _3: object, context: Any, _4: object) -> None:
        given = set(context.compiled.column_keys or ()) if context.compiled else set()
        if names := given - set(context.compiled.bind_names.values() if given else ()):
            left_out[statement] = names

    event.listen(app.services.engine, "before_cursor_execute", look)
    measured(app, simulator)
    assert left_out == {}


def test_what_is_learnt_has_columns() -> None:
    """Each field that a step may have learnt is a column of its job."""
    assert {each.name for each in fields(Learnt)} - {"tells_of_account"} <= set(jobs.columns.keys())
