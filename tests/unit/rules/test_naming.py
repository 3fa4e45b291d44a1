"""Photos that are sent as addresses: which submit a row names."""

from datetime import UTC, datetime

import pytest

from worker.rules.habits import Likeness, Pair, Sent
from worker.rules.naming import Names, urls_of
from worker.rules.presigned import mark_of_address, mark_of_place
from worker.rules.run import Inputs, Listed, RemoteStatus
from worker.vendor.history import mark_inputs

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PHOTO = "https://bucket.example.com/input/sha256/ab/abcd.png"


def url(number: int, place: str = PHOTO) -> str:
    """Return an address of a photo."""
    return f"{place}?X-Amz-Signature={number}"


def row(shown: str | None, run: str = "run") -> Listed:
    """Return a request of the history that shows a photo by that."""
    inputs = mark_inputs({"image": shown})
    places = {"image": mark_of_place(shown)} if shown and shown.startswith("https:") else {}
    return Listed(run, NOW, RemoteStatus.COMPLETED, inputs, None, None, None, (), places=places)


def sent(number: int, run: str | None = None) -> Sent:
    """Return a submit that sent an address of the photo."""
    inputs = {"image": mark_of_place(PHOTO)}
    return Sent(f"job{number}", inputs, False, NOW, NOW, run, mark_of_address(url(number)))


def names(*shown: str | None, others: tuple[Sent, ...] = ()) -> Names:
    """Learn from submits that were answered, and their rows."""
    pairs = [Pair(sent(n, f"run{n}"), row(each, f"run{n}")) for n, each in enumerate(shown)]
    return Names.of([*(pair.sent for pair in pairs), *others], pairs)


def likeness(known: Names, number: int, listed: Listed) -> Likeness | None:
    """Compare a row with a submit."""
    its = sent(number)
    return known.likeness(frozenset({its.address or ""}), its.inputs, listed)


def test_a_row_that_shows_an_address_is_of_the_submit_that_sent_it() -> None:
    """Whether that is known to be the habit or not."""
    for known in (names(), names(url(8)), names(None)):
        assert likeness(known, 1, row(url(1))) is Likeness.SAME


def test_a_row_that_names_another_submit_is_that_ones() -> None:
    """One that may still come to have it, of whatever photo; nobody has to have learnt anything for that."""
    assert likeness(names(others=(sent(2),)), 1, row(url(2))) is Likeness.OTHER


def test_a_run_whose_submit_has_another_is_anybodys() -> None:
    """Answers were mixed up among equal jobs: one of the two runs is left over, and is as good."""
    assert likeness(names(url(0), others=(sent(2, "another"),)), 1, row(url(2))) is None


def test_another_address_of_the_photo_is_of_another_submit() -> None:
    """Of one that this database does not know; where rows are known to show addresses whole."""
    assert likeness(names(url(0)), 1, row(url(9))) is Likeness.OTHER


@pytest.mark.parametrize("shown", [(), (PHOTO,), (None,), (url(0), PHOTO)], ids=["nothing", "place", "none", "mixed"])
def test_where_rows_do_not_show_addresses_whole_another_one_tells_nothing(shown: tuple[str | None, ...]) -> None:
    """It may have been cut, or written otherwise."""
    assert likeness(names(*shown), 1, row(url(9))) is None


@pytest.mark.parametrize("shown", [None, PHOTO, "https://theirs.example.com/1.png", "sha256:1"], ids=str)
def test_a_row_that_names_nobody_tells_by_what_was_sent(shown: str | None) -> None:
    """Though addresses are shown whole elsewhere: this one may be filled in later."""
    assert likeness(names(url(0)), 1, row(shown)) is None


def test_answers_that_were_mixed_up_show_addresses_all_the_same() -> None:
    """What is learnt of rows is whether they name any of ours."""
    pairs = [Pair(sent(1, "run1"), row(url(2), "run1"))]
    assert Names.of([sent(1, "run1"), sent(2)], pairs).are_shown


def test_a_submit_without_an_address_is_not_told_from_another_by_one() -> None:
    """Its worker died before it had made one, or what it had written was lost."""
    its = sent(1)
    assert names(url(0)).likeness(frozenset(), its.inputs, row(url(9))) is None


def test_what_a_row_shows_whole() -> None:
    """Photo and mask; nothing of one that can't be read."""
    both: Inputs = mark_inputs({"image": url(1), "mask": url(2), "prompt": "https://x/y"})
    listed = Listed("run", NOW, RemoteStatus.COMPLETED, both, None, None, None, ())
    assert urls_of(listed) == {mark_of_address(url(1)), mark_of_address(url(2))}
    assert urls_of(Listed("run", NOW, RemoteStatus.COMPLETED, None, None, None, None, ())) == frozenset()
    assert urls_of(row("x" * 200)) == frozenset()
