"""What is learnt of the history from rows of submits that were answered: its form, its clock, and answers mixed up."""

from datetime import UTC, datetime, timedelta

import pytest

from worker.rules.habits import CLOCKS_DIFFER, Form, Likeness, Pair, Sent, learn_clocks, learn_form, mixed_up
from worker.rules.run import Inputs, Listed, RemoteStatus
from worker.vendor.history import mark_inputs

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PHOTO, OTHER_PHOTO, ADDRESS = "a" * 200, "b" * 200, "https://example.com/cat.png"


def pair(
    number: int, sent: Inputs, row: Inputs | None, ahead: timedelta = timedelta(0), *, has_zone: bool = True
) -> Pair:
    """Return a submit that was answered and its row."""
    at = NOW + number * SECOND
    run = f"run{number}"
    listed = Listed(run, at + ahead, RemoteStatus.COMPLETED, row, "me", None, None, (), None, has_zone)
    return Pair(Sent(f"job{number}", sent, True, at, at + SECOND, run), listed)


def form_of(*rows: dict[str, object], sent: dict[str, object]) -> Form:
    """Learn the form from submits of the same body, and their rows."""
    return learn_form([pair(n, mark_inputs(sent), mark_inputs(row)) for n, row in enumerate(rows)])


SENT: dict[str, object] = {"image": PHOTO, "prompt": "cat"}


@pytest.mark.parametrize(
    ("shown", "row", "likeness"),
    [
        (SENT, {"image": OTHER_PHOTO, "prompt": "cat"}, Likeness.OTHER),
        (SENT, {"prompt": "cat"}, Likeness.UNCLEAR),
        (SENT, {"image": ADDRESS, "prompt": "cat"}, Likeness.UNCLEAR),
        (SENT, {"image": ADDRESS, "prompt": "dog"}, Likeness.OTHER),
        (SENT, {"image": ADDRESS}, Likeness.OTHER),
        (SENT, SENT | {"mask": ADDRESS, "image": OTHER_PHOTO}, Likeness.OTHER),
        (SENT, SENT | {"mask": ADDRESS, "image": ADDRESS}, Likeness.OTHER),
        (SENT, {}, Likeness.UNCLEAR),
        (SENT, {"image": PHOTO, "prompt": "dog"}, Likeness.UNCLEAR),
        ({"prompt": "cat"}, {"prompt": "cat"}, Likeness.SAME),
        ({"prompt": "cat"}, {"prompt": "dog"}, Likeness.OTHER),
        ({"prompt": "cat"}, {"image": ADDRESS, "prompt": "cat"}, Likeness.UNCLEAR),
        ({"image": ADDRESS, "prompt": "cat"}, {"image": "https://other/2.png", "prompt": "cat"}, Likeness.SAME),
        ({"image": OTHER_PHOTO, "prompt": "cat"}, {"image": OTHER_PHOTO, "prompt": "cat"}, Likeness.UNCLEAR),
        ({"image": PHOTO, "prompt": "kitten"}, {"image": OTHER_PHOTO, "prompt": "kitten"}, Likeness.OTHER),
    ],
)
def test_what_one_row_teaches(shown: dict[str, object], row: dict[str, object], likeness: Likeness) -> None:
    """Shown as sent, left out, or elsewhere; a row of other values could be another's, and teaches nothing.

    Where a photo was shown as sent, a larger one may be left out or elsewhere all the same, or all of a run's inputs.
    """
    assert form_of(shown, sent=SENT).compare(mark_inputs(SENT), mark_inputs(row)) is likeness


def test_what_is_rewritten_is_learnt_from_several_rows() -> None:
    """Each image is listed by its digest: after three such rows it is not compared any more."""
    digests: list[dict[str, object]] = [{"image": f"sha256:{n}", "prompt": "cat"} for n in range(3)]
    row = mark_inputs({"image": "sha256:9", "prompt": "cat"})
    assert form_of(*digests[:2], sent=SENT).compare(mark_inputs(SENT), row) is Likeness.UNCLEAR
    assert form_of(*digests, sent=SENT).compare(mark_inputs(SENT), row) is Likeness.SAME


def test_rows_that_do_not_agree_teach_nothing() -> None:
    """Images are dropped in some rows only: one without says nothing."""
    form = form_of(SENT, {"prompt": "cat"}, sent=SENT)
    assert form.compare(mark_inputs(SENT), mark_inputs({"prompt": "cat"})) is Likeness.UNCLEAR


def test_short_texts_teach_nothing_of_long_ones() -> None:
    """A history may cut what is long."""
    long = mark_inputs({"prompt": "word " * 50})
    cut = mark_inputs({"prompt": "word " * 40})
    assert form_of(SENT, sent=SENT).compare(long, cut) is Likeness.UNCLEAR
    longer, cut_later = mark_inputs({"prompt": "word " * 90}), mark_inputs({"prompt": "word " * 80})
    whole: dict[str, object] = {"prompt": "word " * 50}
    assert form_of(whole, sent=whole).compare(longer, cut_later) is Likeness.UNCLEAR


def test_a_strangers_run_in_an_answer_is_noticed() -> None:
    """Of three rows two have the photo that was sent."""
    pairs = [pair(n, mark_inputs(SENT), mark_inputs(SENT)) for n in range(2)]
    wrong = pair(2, mark_inputs(SENT), mark_inputs({"image": OTHER_PHOTO}))
    assert mixed_up([*pairs, wrong], []) == [wrong]
    assert mixed_up(pairs, []) == []


def test_a_row_that_shows_nothing_is_nobody_elses() -> None:
    """Photos are left out: it may be of the submit that was answered with it, and be filled in later."""
    unnamed = mark_inputs({"image": OTHER_PHOTO})
    pairs = [pair(n, unnamed, {}) for n in range(2)]
    lost = Sent("lost", unnamed, True, NOW, NOW + SECOND)
    assert mixed_up([*pairs, pair(2, mark_inputs(SENT), {})], [lost]) == []


@pytest.mark.parametrize("ahead", [timedelta(0), 19_800 * SECOND, -28_800 * SECOND, 180 * SECOND], ids=str)
def test_how_far_the_vendors_clock_is_ahead(ahead: timedelta) -> None:
    """The middle of what rows show, exact once there are some; of rows with a zone and without apart."""
    few = learn_clocks([pair(n, {}, {}, ahead + n * SECOND / 10) for n in range(3)])
    assert (few[True].ahead, few[True].spread) == (ahead + SECOND / 10, CLOCKS_DIFFER)
    many = learn_clocks([pair(n, {}, {}, ahead + n * SECOND / 10, has_zone=False) for n in range(9)])
    assert set(many) == {False}
    assert many[False].spread < 3 * SECOND


def test_times_that_do_not_agree_are_no_clock() -> None:
    """One odd row of many is left aside; half of them are not."""
    odd = pair(9, {}, {}, timedelta(hours=1))
    assert learn_clocks([*(pair(n, {}, {}) for n in range(8)), odd])[True].ahead == timedelta(0)
    assert learn_clocks([pair(0, {}, {}), odd]) == {}
