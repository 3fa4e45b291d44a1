"""All runs that are under way are looked through, however many are on a page."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from worker.app import App
from worker.database import under_way
from worker.database.engine import transaction
from worker.rules.lifecycle import JobState
from worker.upkeep.survey import survey

_ADD = """
INSERT INTO jobs (id, state, fingerprint, request_id, accepted_at, submitted_at, due_at, sweep_at, lease_until, session)
SELECT lpad(number::text, 32, '0')::uuid, state, '', number, sam3d_now() - number / 3 * interval '1 s',
    sam3d_now() - number * interval '1 min', sam3d_now() + due * interval '1 s', sam3d_now() + due * interval '1 s',
    sam3d_now() + lease * interval '1 s', session
FROM generate_series(0, 4) AS round,
LATERAL (VALUES (1, 'processing', -1, NULL, NULL), (2, 'fetching', -1, -1, 7), (3, 'submitting', -1, NULL, NULL),
    (4, 'processing', 60, 60, 9), (5, 'processing', 900000, NULL, NULL), (6, 'processing', 60, NULL, NULL),
    (7, 'accepted', -1, NULL, NULL)) AS its(place, state, due, lease, session),
LATERAL (SELECT round * 7 + its.place AS number) AS numbered
"""


@pytest.fixture(params=[1, 2, 500])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Provide pages of so many runs."""
    monkeypatch.setattr(under_way, "PAGE", request.param)
    under_way._page.cache_clear()
    yield request.param
    under_way._page.cache_clear()


def test_each_run_is_seen_once(app: App, pages: int) -> None:
    """Those that were left behind, the most urgent first; who reads; what is in doubt; what lies too far ahead."""
    with transaction(app.services.engine) as connection:
        connection.execute(text(_ADD))
    seen = survey(app.services)
    found = {state: [int(each.replace("-", "")) for each in left] for state, left in seen.untaken.items()}
    assert found == {JobState.PROCESSING: [29, 22, 15, 8, 1]}
    assert [int(each.replace("-", "")) for each in seen.abandoned] == [30, 23, 16, 9, 2]
    assert seen.lessees == {9}
    assert (len(set(seen.doubted)), len(seen.doubted)) == (5, 5)
    assert (len(set(seen.far)), len(seen.far)) == (5, 5)
