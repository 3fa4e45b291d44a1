"""One run is given to one job."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.rules.evidence import Evidence
from worker.rules.habits import Sent
from worker.rules.proof import Doubted, Finding, Window
from worker.rules.run import Listed, Look, RemoteStatus
from worker.upkeep.bench import Bench

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

SECOND = timedelta(seconds=1)

MARKS = {"image": "text:digest"}

RUN = Listed("run", NOW - 10 * SECOND, RemoteStatus.PROCESSING, MARKS, "me", None, None, ())


@pytest.mark.parametrize("count", range(4))
def test_each_run_is_given_to_one_job(count: int) -> None:
    """Jobs of equal inputs get one each, the oldest first; the one for which none is left is told so."""
    runs = {f"run{n}": replace(RUN, request_id=f"run{n}", created_at=NOW + n * SECOND) for n in range(count)}
    later = Sent("later's", {"image": "text:other"}, False, NOW + 3 * SECOND, NOW + 3 * SECOND, "later")
    shown = {**runs, "later": replace(RUN, request_id="later", inputs=later.inputs, created_at=later.intended_at)}
    look = Look(shown, is_complete=True)
    bench = Bench(Evidence(look, [later], [], frozenset({"later"}), NOW + timedelta(hours=1), timedelta(0)))
    window = Window(NOW, NOW + 3 * SECOND)
    each = Doubted("job", MARKS, False, [window], window.last, is_over=True, was_absent=False)
    proofs = [bench.judge(each) for _ in range(3)]
    assert [proof.request.request_id for proof in proofs if proof.request] == list(runs)[:3]
    assert [proof.finding for proof in proofs] == [Finding.FOUND] * count + [Finding.ABSENT] * (3 - count)
