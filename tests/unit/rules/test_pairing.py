"""What follows from a look at the history after a database was started anew, and which runs fit which jobs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from worker.rules.evidence import Evidence
from worker.rules.habits import FILLED_WITHIN, Sent
from worker.rules.pairing import SIDE_BY_SIDE, Lineup, Waiting, first_in_turn
from worker.rules.presigned import mark_of_address, mark_of_place
from worker.rules.run import Inputs, Listed, Look, RemoteStatus
from worker.vendor.history import mark_inputs

T0 = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SOON, LATE = 10 * SECOND, 400 * SECOND
PHOTO = "data:" + "x" * 200


def _inputs(prompt: str) -> Inputs:
    return mark_inputs({"image": PHOTO, "prompt": prompt})


def _listed(run: str, inputs: Inputs | None, at: int, status: RemoteStatus = RemoteStatus.COMPLETED) -> Listed:
    return Listed(run, T0 + at * SECOND, status, inputs, None, None, None, ())


def _lineup(*free: Listed, known: int = 5, hides: bool = False, doubted: Inputs | None = None) -> Lineup:
    """Make a history with some runs of ours before, and some that nobody has."""
    ours = [Sent(f"job {n}", _inputs(f"{n}"), True, T0 - n * SECOND, T0, f"run{n}") for n in range(1, known + 1)]
    shown = {each.run or "": {"prompt": each.inputs["prompt"]} if hides else each.inputs for each in ours}
    rows = [_listed(run, inputs, -int(run[3:])) for run, inputs in shown.items()]
    listed = {row.run: row for row in [*rows, *free]}
    unanswered = [Sent("doubted", doubted, True, T0, T0 + SECOND)] if doubted else []
    claimed = frozenset(shown)
    return Lineup(Evidence(Look(listed, True), ours, unanswered, claimed, T0 + LATE, timedelta(0)))


def _waits(prompt: str, at: int = 0) -> Waiting:
    return Waiting(prompt, _inputs(prompt), T0 + at * SECOND)


def test_a_run_is_given_once() -> None:
    """To the first of equal jobs; one that was paid before one that failed for free."""
    lineup = _lineup(_listed("fa11", _inputs("cat"), 1, RemoteStatus.FAILED), _listed("90d", _inputs("cat"), 2))
    taken = [lineup.take_own(_waits("cat")) for _ in range(3)]
    assert [row and row.run for row in taken] == ["90d", "fa11", None]


def test_a_run_before_its_job_is_another_s() -> None:
    """It was made for somebody else, or for a job that is gone."""
    lineup = _lineup(_listed("01d", _inputs("cat"), 0))
    assert lineup.take_own(_waits("cat", at=600)) is None


def test_a_run_is_left_to_the_submit_in_doubt() -> None:
    """That one is looked up by itself."""
    lineup = _lineup(_listed("0e", _inputs("cat"), 1), doubted=_inputs("cat"))
    assert lineup.take_own(_waits("cat")) is None


def test_another_prompt_is_another_job() -> None:
    """Where rows show prompts as sent, a run of the same photo and another prompt can't be this one."""
    lineup = _lineup(_listed("d09", _inputs("dog"), 1))
    assert not lineup.may_have(_waits("cat"))


def test_a_new_row_that_shows_nothing_yet_may_be_anybodys() -> None:
    """What was sent may be shown later; once it is not, it is of nothing that was sent."""
    for seconds, may_be in ((300, True), (-FILLED_WITHIN.total_seconds(), False)):
        lineup = _lineup(_listed("b1a", {}, int(seconds)))
        assert lineup.may_have(replace(_waits("cat"), accepted_at=T0 - 2 * FILLED_WITHIN)) is may_be


def test_what_hides_the_photo_may_be_anybodys() -> None:
    """Nothing is adopted, and the job is not taken for unpaid."""
    cat = _inputs("cat")
    lineup = _lineup(_listed("ca7", {"prompt": cat["prompt"]}, 1), hides=True)
    assert lineup.take_own(_waits("cat")) is None
    assert lineup.may_have(_waits("cat"))
    assert not lineup.may_have(_waits("dog"))


def test_a_key_is_ours_alone_until_a_stranger_is_seen() -> None:
    """A run of the time that the ledger knows shows that somebody else uses the key; few rows show nothing."""
    assert _lineup().is_ours_alone(T0)
    assert not _lineup(known=2).is_ours_alone(T0)
    assert not _lineup(_listed("5", _inputs("x"), -600)).is_ours_alone(T0)


def test_jobs_far_behind_in_turn_have_no_lost_run() -> None:
    """As many as there are runs, and those that may have been at work beside them."""
    assert first_in_turn(range(10_000), 3) == range(3 + SIDE_BY_SIDE)
    assert not first_in_turn(range(5), 0)


# Photos that were sent as addresses, which nobody here knows any more.

PLACE = "https://ours.example.com/input/sha256/ab/abcd.png"


def _placed(url: str = PLACE) -> Inputs:
    return {**_inputs("cat"), "image": mark_of_place(url)}


def _showing(run: str, url: str, at: int = 1) -> Listed:
    listed = _listed(run, {**_inputs("cat"), "image": mark_of_address(url)}, at)
    return replace(listed, places={"image": mark_of_place(url)})


def test_a_run_of_a_photo_of_ours_is_known_by_its_place() -> None:
    """Its address was another one, as each submit has its own."""
    lineup = _lineup(_showing("ca7", f"{PLACE}?lost"))
    waiting = Waiting("job", _placed(), T0)
    taken = lineup.take_own(waiting)
    assert taken
    assert (taken.run, lineup.take_own(waiting)) == ("ca7", None)


def test_a_run_that_names_a_submit_in_doubt_is_left_to_it() -> None:
    """Whenever it was made: a waiting job of the same photo has to have another."""
    doubted = Sent("doubted", _placed(), False, T0, T0 + SECOND, None, mark_of_address(f"{PLACE}?its"))
    lineup = Lineup(replace(_lineup()._evidence, unanswered=[doubted], look=_look("other", "its")))
    taken = lineup.take_own(Waiting("job", _placed(), T0))
    assert taken
    assert taken.run == "other"


def _look(*ends: str) -> Look:
    rows = [_showing(end, f"{PLACE}?{end}", at=at) for at, end in enumerate(ends)]
    return Look({row.run: row for row in rows}, True)


@pytest.mark.parametrize(
    ("url", "may_have"),
    [(PLACE, True), ("https://elsewhere/input/sha256/ab/abcd.png", True), (PLACE.replace("abcd.", "abce."), False)],
    ids=["there", "elsewhere", "another photo"],
)
def test_a_photo_that_was_elsewhere_may_be_the_one(url: str, *, may_have: bool) -> None:
    """Our store may have been at another address before; a photo of another name is another one at any."""
    ours = Sent("known", _placed(), False, T0, T0, "known", mark_of_address(f"{PLACE}?known"))
    rows = {"known": _showing("known", f"{PLACE}?known", 0), "free": _showing("free", f"{url}?lost")}
    given = Evidence(Look(rows, True), [ours], [], frozenset({"known"}), T0 + LATE, timedelta(0))
    assert Lineup(given).may_have(Waiting("job", _placed(), T0)) is may_have
