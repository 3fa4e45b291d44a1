"""A bug in a submit leaves a doubt, one in a read is heard of."""

import pytest

from tests.support.reacting import JOB, services_with
from worker.rules.lifecycle import Step
from worker.rules.outcome import Doubt, Outcome
from worker.work import executor, steps


@pytest.mark.parametrize(("step", "is_doubted"), [(Step.SUBMIT, True), (Step.POLL, False), (Step.FETCH, False)])
def test_a_bug_in_a_submit_is_in_doubt_too(monkeypatch: pytest.MonkeyPatch, step: Step, *, is_doubted: bool) -> None:
    """Whatever broke, a run may have been started; a read that breaks is a bug that is heard of."""

    def broken(*_: object) -> Outcome:
        raise RuntimeError("x")

    monkeypatch.setattr(steps, "RUN", dict.fromkeys(Step, broken))
    if is_doubted:
        assert executor.run(services_with(None), step, JOB) == Doubt("an error of the service")
    else:
        with pytest.raises(RuntimeError):
            executor.run(services_with(None), step, JOB)
