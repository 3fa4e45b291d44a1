"""What a process goes by where nobody can tell it anything new."""

from collections.abc import Callable
from typing import NoReturn

import pytest

from worker.config.environment import Settings
from worker.database.engine import Engine, create_database_engine
from worker.rules.survival import Run
from worker.work.outlook import Outlook

NOBODY = "postgresql+psycopg://127.0.0.1:1/nobody"


@pytest.fixture
def engine() -> Engine:
    """Provide the engine of a database that is not there."""
    return create_database_engine(NOBODY, 1)


def test_without_the_database_the_published_run_time_counts(engine: Engine) -> None:
    """The first poll comes about when a typical run may be over; the limit is what is set."""
    terms = Outlook(Settings().having(SAM3D_REQUESTS_PER_MINUTE=60), engine).terms()
    assert 20 <= terms.plan.first.total_seconds() <= 31.7
    assert terms.limit == 60


@pytest.mark.parametrize(("setting", "counts"), [("yes", True), ("no", False), ("auto", None)])
def test_what_is_set_is_not_learnt(engine: Engine, setting: str, counts: bool | None) -> None:
    """Nor is it assumed."""
    settings = Settings.of({"SAM3D_READS_COUNT": setting})
    assert Outlook(settings, engine).terms().reads_count is counts


def test_no_job_fails_for_want_of_a_better_plan(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known last counts, and is asked for again only some seconds later."""
    asked: list[Callable[..., object]] = []

    def broken(self: Outlook) -> NoReturn:
        asked.append(broken)
        raise ZeroDivisionError

    monkeypatch.setattr(Outlook, "_learn", broken)
    outlook = Outlook(Settings(), engine)
    assert outlook.terms() is outlook.terms()
    assert len(asked) == 1


def test_of_the_same_runs_nothing_is_learnt_anew(engine: Engine) -> None:
    """A scheduler asks every few seconds, also where no run has ended for hours."""
    outlook = Outlook(Settings(), engine)
    learnt = outlook._curve_of([Run(20.0, 30.0)])
    assert outlook._curve_of([Run(20.0, 30.0)]) is learnt
    assert outlook._curve_of([Run(20.0, 31.0)]) is not learnt
