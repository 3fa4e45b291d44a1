"""What a step does first."""

from types import SimpleNamespace

import pytest

from tests.support.reacting import JOB, services_with
from worker.rules.budget import Terms
from worker.rules.lifecycle import Step
from worker.work import steps


def test_nothing_stands_between_a_paid_answer_and_its_commit() -> None:
    """The plan is asked for before the POST: whatever is wrong with it costs no money."""

    def broken() -> Terms:
        raise ZeroDivisionError

    services = services_with(SimpleNamespace(submit=lambda _: pytest.fail("it was sent")))
    services.outlook.terms = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        steps.submit(services, JOB)


def test_each_step_has_what_it_does() -> None:
    """A new step is not forgotten in the table."""
    assert set(steps.RUN) == set(Step)
