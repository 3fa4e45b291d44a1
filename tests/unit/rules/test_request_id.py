"""One run has one id, however it is written."""

import pytest

from worker.rules.request_id import canonical_id, written_like


def test_two_writings_of_a_request_id_are_one() -> None:
    """The vendor was seen to leave the dashes out; letters may be large or small."""
    dashed = "0C7d3f8e-1f6b-4d0a-9a57-2f8f1f0f9a11"
    assert canonical_id(dashed) == canonical_id(dashed.replace("-", "").upper())
    assert canonical_id(dashed) != canonical_id(dashed[:-1] + "2")


DASHED = "0c7d3f8e-1f6b-4d0a-9a57-2f8f1f0f9a11"


@pytest.mark.parametrize("answered", [None, DASHED, DASHED.replace("-", ""), "run-7"])
def test_ids_are_written_as_submits_are_answered(answered: str | None) -> None:
    """What a job goes on with is asked for at the API, which may know one writing alone; other ids are left alone."""
    wanted = DASHED.replace("-", "") if answered and "-" not in answered else DASHED
    assert written_like(DASHED, answered) == written_like(DASHED.replace("-", ""), answered) == wanted
    assert written_like("run-8", answered) == "run-8"
