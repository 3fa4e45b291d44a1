"""What a step does first, and what it tells of a run that failed."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support.reacting import JOB, services_with
from worker.rules.budget import Terms
from worker.rules.lifecycle import Step
from worker.rules.run import RemoteStatus, RunStatus
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


def test_an_image_that_the_vendor_quotes_is_left_out() -> None:
    """Whatever is long and has no blanks is no sentence."""
    sentence = steps._why_failed(JOB, RunStatus(RemoteStatus.FAILED, {}, f"bad image {'iVBORw0KGgo' * 9}="))
    assert sentence.endswith("says: bad image …")


def test_what_the_vendor_says_is_cut_to_a_line() -> None:
    """A run's own error is told, without what could act on a terminal, and not at any length."""
    said = "no object\x1b[31m\n\0\ud800" + "x " * 500
    sentence = steps._why_failed(JOB, RunStatus(RemoteStatus.FAILED, {}, said))
    assert sentence.startswith("The run failed and was not charged. The vendor says: no object[31m x x x")
    assert sentence.isprintable()
    assert len(sentence) < 400


def test_what_the_vendor_quotes_is_not_told() -> None:
    """Neither the prompt nor an address, which may be signed, gets into a row or an event."""
    job = replace(JOB, parameters={"prompt": "a red cup"})
    run = RunStatus(RemoteStatus.FAILED, {}, "no 'a red cup' in https://files.example/in.png?sig=1 today")
    assert steps._why_failed(job, run).endswith("The vendor says: no '…' in … today")
