"""Which requests one run can serve."""

from typing import Any

import pytest

from tests.support.budgeted import photo
from worker.intake.prepare import prepare_request
from worker.intake.request import parse_request
from worker.intake.sharing import share_key

URL = "https://example.com/cat.png"


def key_of(source: str = "shop", **fields: Any) -> str | None:
    """Return what a request shares."""
    return share_key(parse_request({**prepare_request(photo()), **fields}), source)


@pytest.mark.parametrize(
    "fields",
    [
        {"job_id": "8f14e45f-ceea-467f-9c1d-3d0d3c9f8b21"},
        {"idempotency_key": "order-7"},
        {"metadata": {"order": 7}},
        {"priority": 5},
        {"seed": 123},
        {"include_artifacts": False},
        {"force": False},
    ],
)
def test_who_and_when_makes_no_difference(fields: dict[str, Any]) -> None:
    """Nor does a default that is spelt out."""
    assert key_of(**fields) == key_of() is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "stranger"},
        {"seed": 7},
        {"prompt": "cat"},
        {"bounding_box": [1, 2, 3, 4]},
        {"point_coords": [[1, 2]]},
        {"include_artifacts": True},
        {"mask": prepare_request(photo())["image"]},
    ],
)
def test_another_model_or_sender_shares_nothing(fields: dict[str, Any]) -> None:
    """What the vendor is asked is all of it, and who asks."""
    assert None is not key_of(**fields) != key_of()


@pytest.mark.parametrize("fields", [{"force": True}, {"image": URL}, {"mask": URL}])
def test_some_have_a_run_of_their_own(fields: dict[str, Any]) -> None:
    """Who asks for it; and who names an address, where another photo may be by now."""
    assert key_of(**fields) is None
