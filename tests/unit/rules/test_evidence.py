"""What the request history proves of a submit without an answer: its run, that there is none, or neither."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.rules.evidence import Evidence
from worker.rules.habits import CLOCKS_DIFFER, FILLED_WITHIN, Sent, settled_after
from worker.rules.presigned import mark_of_address, mark_of_place
from worker.rules.proof import Doubted, Finding, Gap, Window
from worker.rules.run import Inputs, Listed, Look, RemoteStatus
from worker.vendor.history import mark_inputs

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SETTLE = timedelta(minutes=1)
INTENDED, OVER = NOW, NOW + 5 * SECOND
AT_LAST = OVER + SETTLE
BODY = {"image": "x" * 1000, "prompt": "m4rk3r"}
MARKS = mark_inputs(BODY)
OTHER = mark_inputs({"image": "y" * 1000, "prompt": "other"})
DOUBTED = Doubted("job", MARKS, True, (Window(INTENDED, OVER),), OVER, is_over=True, was_absent=False)
LATER = Sent("later's", OTHER, True, OVER, OVER + SECOND, "later")
OWN = Sent("job", MARKS, True, INTENDED, OVER)


def listed(
    request_id: str, at: datetime = INTENDED + SECOND, inputs: Inputs | None = MARKS, user: str | None = "me"
) -> Listed:
    """Return a request of the history."""
    return Listed(request_id, at, RemoteStatus.PROCESSING, inputs, user, None, None, ())


LATER_ROW = listed("later", OVER, OTHER)


def evidence(
    *requests: Listed,
    claimed: frozenset[str] = frozenset({"later"}),
    answered: tuple[Sent, ...] = (LATER,),
    unanswered: tuple[Sent, ...] = (OWN,),
) -> Evidence:
    """Return a complete look at these requests and that of a later submit of ours, long enough after."""
    shown = {each.run: each for each in (LATER_ROW, *requests)}
    return Evidence(Look(shown, is_complete=True), answered, unanswered, claimed, AT_LAST, SETTLE)


def aged(given: Evidence) -> Evidence:
    """Return the same evidence when its rows are so old that they show all they ever will."""
    return replace(given, now=given.now + FILLED_WITHIN)


# Found: a run of the inputs, in the time of the submit, that nobody has.


def test_a_run_is_found() -> None:
    """And named, with when it was made."""
    proof = evidence(listed("run")).judge(DOUBTED)
    assert (proof.finding, proof.request, proof.made_at) == (Finding.FOUND, listed("run"), INTENDED + SECOND)


@pytest.mark.parametrize(
    ("at", "is_found"),
    [
        (INTENDED - CLOCKS_DIFFER - SECOND, False),
        (INTENDED - CLOCKS_DIFFER, True),
        (INTENDED, True),
        (OVER, True),
        (OVER + CLOCKS_DIFFER, True),
        (OVER + CLOCKS_DIFFER + SECOND, False),
    ],
)
@pytest.mark.parametrize("ahead", [timedelta(0), 5.5 * HOUR, -8 * HOUR, timedelta(minutes=3)], ids=str)
def test_a_run_is_found_in_the_time_of_the_submit_alone(at: datetime, ahead: timedelta, *, is_found: bool) -> None:
    """As far as two clocks may differ, once it is learnt how far the vendor's is ahead.

    At any other time it speaks against a repeat.
    """
    later = listed("later", OVER + ahead, OTHER)
    proof = evidence(listed("run", at + ahead), later).judge(DOUBTED)
    assert (proof.finding, proof.gap) == ((Finding.FOUND, None) if is_found else (Finding.OPEN, Gap.TWIN))


def test_a_run_in_local_time_speaks_against_a_repeat_before_the_clock_is_learnt() -> None:
    """Nobody knows yet whether it is of this time: it is neither taken nor passed over."""
    proof = evidence(listed("run", INTENDED + 5.5 * HOUR), answered=()).judge(DOUBTED)
    assert (proof.finding, proof.gap) == (Finding.OPEN, Gap.TWIN)


def test_times_that_do_not_agree_teach_nothing() -> None:
    """Of two later submits one is listed an hour off: neither proves anything."""
    another = replace(LATER, run="later2")
    proof = evidence(listed("later2", OVER + HOUR, OTHER), answered=(LATER, another)).judge(DOUBTED)
    assert (proof.finding, proof.gap) == (Finding.OPEN, Gap.NO_LATER_SUBMIT)


def test_a_run_of_another_job_is_not_found() -> None:
    """Each run is one job's, in whatever writing of its id."""
    claimed = frozenset({"later", "ru7n"})
    assert evidence(listed("RU-7N"), claimed=claimed).judge(DOUBTED).finding is Finding.ABSENT


def test_a_run_of_other_inputs_is_another() -> None:
    """Its prompt is known to be shown as it was sent: another user's runs keep nobody from being absent."""
    assert evidence(listed("stray", inputs=OTHER)).judge(DOUBTED).finding is Finding.ABSENT


@pytest.mark.parametrize("inputs", [OTHER, None, {}], ids=["other", "unreadable", "none"])
def test_a_run_that_may_be_the_one_in_another_writing(inputs: Inputs | None) -> None:
    """Where nothing is known of how rows show inputs it keeps the submit from being absent, and is not taken."""
    later = replace(LATER, is_inline=False, inputs={})
    proof = evidence(listed("stray", inputs=inputs), listed("later", OVER, None), answered=(later,)).judge(DOUBTED)
    assert (proof.finding, proof.gap) == (Finding.OPEN, Gap.STRAY)


def test_a_run_of_another_submit_of_ours_is_that_ones() -> None:
    """A cancelled job's, which nobody has adopted yet, though it can't be compared with this one's."""
    theirs = Sent("cancelled", mark_inputs({"image": "z" * 1000}), True, INTENDED, OVER)
    shown = listed("theirs", inputs=theirs.inputs)
    later = replace(LATER, inputs=mark_inputs({"image": "https://x/y.png"}))
    row = listed("later", OVER, later.inputs)
    gaps = [
        aged(evidence(shown, row, answered=(later,), unanswered=unanswered)).judge(DOUBTED).gap
        for unanswered in ((OWN,), (OWN, theirs))
    ]
    assert gaps[0] is Gap.STRAY
    assert gaps[1] is not Gap.STRAY


@pytest.mark.parametrize("own", ["me", None])
@pytest.mark.parametrize(("user", "is_found"), [("me", True), (None, True), ("colleague", False)])
def test_a_run_of_another_member_of_the_team_is_not_found(user: str | None, own: str | None, *, is_found: bool) -> None:
    """Once it is known from a run that a job has who we are; before that any is taken."""
    later = listed("later", OVER, OTHER, own)
    proof = evidence(listed("run", user=user), later).judge(DOUBTED)
    assert (proof.finding is Finding.FOUND) == (is_found or own is None)


def test_the_oldest_run_is_found_first() -> None:
    """Equal ones are as good, and so each is given away before it expires; one that is taken is not given again."""
    runs = [listed(f"run{second}", INTENDED + second * SECOND) for second in (3, 1, 2)]
    for taken, found in ((frozenset[str](), "run1"), (frozenset({"run1"}), "run2")):
        proof = evidence(*runs).judge(DOUBTED, taken)
        assert proof.request
        assert proof.request.request_id == found


@pytest.mark.parametrize(
    "doubted", [replace(DOUBTED, is_over=False), replace(DOUBTED, was_absent=True)], ids=["lives", "was absent"]
)
def test_a_run_is_found_whatever_else_is_not_proven(doubted: Doubted) -> None:
    """What is listed exists: it is adopted at once, on a look that is not complete, too."""
    early = replace(evidence(listed("run"), answered=()), now=INTENDED)
    hurried = replace(early, look=replace(early.look, is_complete=False))
    assert hurried.judge(doubted).finding is Finding.FOUND


# Rows that do not show all that was sent.

DROPPED = {"prompt": MARKS["prompt"]}
SHOWN_OTHER = {"prompt": OTHER["prompt"]}
RIVAL = Sent("rival", mark_inputs({"image": "z" * 1000, "prompt": "m4rk3r"}), True, INTENDED, OVER)


@pytest.mark.parametrize("image", [None, mark_inputs({"image": "https://theirs/1.png"})["image"]], ids=str)
def test_what_rows_never_show_is_not_compared(image: str | None) -> None:
    """Images are dropped, or are elsewhere now: prompt and time tell."""
    extra = {"image": image} if image else {}
    later = listed("later", OVER, SHOWN_OTHER | extra)
    assert evidence(listed("run", inputs=DROPPED | extra), later).judge(DOUBTED).finding is Finding.FOUND
    assert evidence(listed("run", inputs=SHOWN_OTHER | extra), later).judge(DOUBTED).finding is Finding.ABSENT


def test_what_looks_alike_is_not_told_apart() -> None:
    """Two submits of one prompt and different images, and one run: it is given to neither."""
    later = listed("later", OVER, SHOWN_OTHER)
    given = evidence(listed("run", inputs=DROPPED), later, unanswered=(OWN, RIVAL))
    assert given.judge(DOUBTED).gap is Gap.UNFILLED
    proof = aged(given).judge(DOUBTED)
    assert (proof.finding, proof.gap) == (Finding.OPEN, Gap.TWIN)


def test_more_runs_than_submits_are_not_told_apart() -> None:
    """One of them is a stranger's, and his image is not shown."""
    later = listed("later", OVER, SHOWN_OTHER)
    runs = [listed(f"run{n}", inputs=DROPPED) for n in range(2)]
    assert aged(evidence(*runs, later)).judge(DOUBTED).gap is Gap.TWIN
    twice = (OWN, replace(OWN, job_id="same"))
    assert evidence(*runs, later, unanswered=twice).judge(DOUBTED).finding is Finding.FOUND


NOTHING_SHOWN: Inputs = {}
UNNAMED = mark_inputs({"image": "x" * 1000})
HIS = listed("his", OVER, mark_inputs({"prompt": "his"}))


def test_a_run_that_shows_nothing_is_no_proof_where_somebody_else_starts_runs() -> None:
    """Its time alone tells whose it is, as long as no run is listed that nobody of ours can have started."""
    sent = replace(LATER, inputs=mark_inputs({"image": "y" * 1000}))
    later, run = listed("later", OVER, NOTHING_SHOWN), listed("run", inputs=NOTHING_SHOWN)
    own, doubted = replace(OWN, inputs=UNNAMED), replace(DOUBTED, inputs=UNNAMED)
    alone = aged(evidence(run, later, answered=(sent,), unanswered=(own,)))
    assert alone.judge(doubted).finding is Finding.FOUND
    shared = aged(evidence(run, later, HIS, answered=(sent,), unanswered=(own,)))
    assert shared.judge(doubted).gap is Gap.TWIN


def test_a_run_that_shows_nothing_is_found_at_the_second_of_the_submit_alone() -> None:
    """Once the vendor's clock is known so exactly: one of a minute later may be a stranger's first."""
    answered = tuple(replace(LATER, run=f"later{n}", inputs=UNNAMED, intended_at=OVER + n * SECOND) for n in range(6))
    rows = [listed(f"later{n}", OVER + n * SECOND, NOTHING_SHOWN) for n in range(6)]
    claimed = frozenset(each.run for each in rows)
    own, doubted = replace(OWN, inputs=UNNAMED), replace(DOUBTED, inputs=UNNAMED)
    for seconds, finding in ((1, Finding.FOUND), (60, Finding.OPEN)):
        run = listed("run", INTENDED + seconds * SECOND, NOTHING_SHOWN)
        given = aged(evidence(*rows, run, claimed=claimed, answered=answered, unanswered=(own,)))
        shown = {name: row for name, row in given.look.requests.items() if name != "later"}
        assert replace(given, look=Look(shown, is_complete=True)).judge(doubted).finding is finding


def test_an_exact_clock_tells_what_looks_alike_apart() -> None:
    """Six submits were listed to the second: a run of this submit's second is not that of one a minute later."""
    answered = tuple(replace(LATER, run=f"later{n}", intended_at=OVER + n * SECOND) for n in range(6))
    rows = [listed(f"later{n}", OVER + n * SECOND, SHOWN_OTHER) for n in range(6)]
    minute = timedelta(minutes=1)
    rival = replace(RIVAL, intended_at=INTENDED + minute, over_at=OVER + minute)
    claimed = frozenset(each.run for each in rows)
    for at, finding in ((INTENDED, Finding.FOUND), (INTENDED + minute, Finding.OPEN)):
        shown = (*rows, listed("run", at + SECOND, DROPPED))
        given = evidence(*shown, claimed=claimed, answered=answered, unanswered=(OWN, rival))
        shown_alone = {run: row for run, row in given.look.requests.items() if run != "later"}
        assert replace(given, look=Look(shown_alone, is_complete=True)).judge(DOUBTED).finding is finding


# Rows that do not show yet what was sent.


@pytest.mark.parametrize("image", [None, "https://theirs/1"], ids=["dropped", "elsewhere"])
def test_what_a_new_row_lacks_may_still_come(image: str | None) -> None:
    """A run without a prompt may be that of a submit with one; it is another's once nothing more will be shown."""
    files: Inputs = mark_inputs({"image": image}) if image else {}
    given = evidence(listed("run", inputs=files), listed("later", OVER, {**SHOWN_OTHER, **files}))
    assert given.judge(DOUBTED).gap is Gap.UNFILLED
    assert aged(given).judge(DOUBTED).finding is Finding.ABSENT


def test_a_new_row_of_the_photo_alone_may_be_of_a_submit_with_a_prompt() -> None:
    """Two submits of one photo, and one run: it is given to the one without a prompt once none can come."""
    own, doubted = replace(OWN, inputs=UNNAMED), replace(DOUBTED, inputs=UNNAMED)
    given = evidence(listed("run", inputs=UNNAMED), unanswered=(own, replace(OWN, job_id="with a prompt")))
    assert given.judge(doubted).finding is Finding.OPEN
    assert aged(given).judge(doubted).finding is Finding.FOUND


def test_a_new_row_that_shows_another_prompt_is_anothers() -> None:
    """Whatever it lacks."""
    given = evidence(listed("run", inputs=mark_inputs({"prompt": "another"})), listed("later", OVER, SHOWN_OTHER))
    assert given.judge(DOUBTED).finding is Finding.ABSENT


def test_new_rows_that_show_nothing_do_not_teach_that_nothing_is_shown() -> None:
    """Six were answered, and none shows what was sent: nobody knows whether they will."""
    answered = tuple(replace(LATER, run=f"later{n}") for n in range(6))
    rows = [listed(f"later{n}", OVER, NOTHING_SHOWN) for n in range(6)]
    given = evidence(*rows, claimed=frozenset(each.run for each in rows), answered=answered)
    given = replace(given, look=Look({row.run: row for row in rows}, is_complete=True))
    assert given.judge(DOUBTED).gap is Gap.UNFILLED
    assert given.form.shows == {}
    assert aged(given).form.shows
    assert aged(given).judge(DOUBTED).finding is Finding.ABSENT


# Answers that named another's run.


def test_an_answer_whose_run_shows_what_was_not_sent_is_a_mix_up() -> None:
    """The run speaks against a repeat of the submit that it is of, and is that one's once it was given back."""
    fooled = Sent("fooled", mark_inputs({"image": "z" * 1000, "prompt": "fooled"}), True, OVER, OVER, "run")
    given = evidence(listed("run"), claimed=frozenset({"later", "run"}), answered=(LATER, fooled))
    assert [pair.sent for pair in given.mixed_up] == [fooled]
    assert given.judge(DOUBTED).gap is Gap.TWIN
    assert given.without([fooled]).judge(DOUBTED).finding is Finding.FOUND


def test_an_answer_that_named_a_strangers_run_is_a_mix_up() -> None:
    """Its row has another photo, where others show what was sent; the same photo may just be written otherwise."""
    good = [replace(LATER, run=f"later{n}") for n in range(3)]
    rows = [listed(f"later{n}", OVER, OTHER) for n in range(3)]
    for image, is_mix_up in (("z" * 1000, True), ("x" * 1000, False)):
        sent = Sent("fooled", mark_inputs({"image": image, "prompt": " m4rk3r "}), True, OVER, OVER, "run")
        given = evidence(*rows, listed("run"), answered=(*good, sent), unanswered=())
        assert [pair.sent for pair in given.mixed_up] == ([sent] if is_mix_up else [])


def test_a_run_that_was_given_back_speaks_against_a_repeat() -> None:
    """A large photo is listed cut, where small ones are as sent: its own run was taken for another's."""
    good = [replace(LATER, run=f"later{n}") for n in range(3)]
    rows = [listed(f"later{n}", OVER, OTHER) for n in range(3)]
    cut = listed("run", inputs=mark_inputs({"image": "x" * 500, "prompt": "m4rk3r"}))
    given = evidence(*rows, cut, claimed=frozenset({"later0", "later1", "later2", "run"}),
                     answered=(*good, replace(OWN, run="run")), unanswered=())  # fmt: skip
    back = given.without([pair.sent for pair in given.mixed_up])
    assert [each.job_id for each in back.unanswered] == ["job"]
    assert back.judge(replace(DOUBTED, told=frozenset({"run"}))).gap is Gap.STRAY


@pytest.mark.parametrize(
    "inputs",
    [{"prompt": MARKS["prompt"]}, {**MARKS, "image": mark_inputs({"image": "https://theirs/1"})["image"]}, {}],
    ids=["left out", "elsewhere", "blank"],
)
def test_a_photo_that_is_shown_otherwise_than_smaller_ones(inputs: Inputs) -> None:
    """A later submit's was listed as it was sent: a row of this time without it may be this submit's all the same."""
    assert aged(evidence(listed("run", inputs=inputs))).judge(DOUBTED).gap is Gap.STRAY


def test_a_run_of_a_model_that_is_not_named() -> None:
    """A row may have its model's name later."""
    later = replace(LATER_ROW, model="sam-3d-objects")
    assert evidence(listed("run"), later).judge(DOUBTED).finding is Finding.FOUND
    assert evidence(replace(listed("run"), model="another"), later).judge(DOUBTED).finding is Finding.ABSENT


# Addresses of ours: each submit has its own, and a row that shows one whole names it.

PLACE = "https://ours.example.com/p.png"
PLACED = {"image": mark_of_place(PLACE), "prompt": MARKS["prompt"]}


def address(name: str) -> str:
    """Return the mark of an address of the photo."""
    return mark_of_address(f"{PLACE}?{name}")


def addressed(name: str, run: str | None = None, prompt: str = MARKS["prompt"]) -> Sent:
    """Return a submit that sent one."""
    return Sent(name, {**PLACED, "prompt": prompt}, False, INTENDED, OVER, run, address(name))


def showing(run: str, image: str | None, at: datetime = INTENDED + SECOND, prompt: str = MARKS["prompt"]) -> Listed:
    """Return a row that shows an address, or only its place, or none."""
    inputs = {"prompt": prompt, **({"image": mark_of_address(image)} if image else {})}
    return replace(listed(run, at, inputs), places={"image": mark_of_place(image)} if image else {})


ANSWERED = replace(addressed("answered", "later"), intended_at=OVER, over_at=OVER + SECOND)
ANSWERED_ROW = showing("later", f"{PLACE}?answered", OVER)
LOST = addressed("lost")
DOUBTED_LOST = replace(DOUBTED, job_id="lost", inputs=PLACED, is_inline=False, addresses=frozenset({address("lost")}))


def known(*rows: Listed, unanswered: tuple[Sent, ...] = (LOST,), answered: tuple[Sent, ...] = (ANSWERED,)) -> Evidence:
    """Return a look at these rows and at that of a later submit that sent an address as well."""
    return evidence(ANSWERED_ROW, *rows, answered=answered, unanswered=unanswered)


@pytest.mark.parametrize("at", [INTENDED + SECOND, INTENDED - 3 * HOUR, OVER + HOUR], ids=str)
@pytest.mark.parametrize("prompt", [MARKS["prompt"], OTHER["prompt"]], ids=["its prompt", "another"])
@pytest.mark.parametrize("answered", [(ANSWERED,), ()], ids=["learnt", "not learnt"])
def test_a_run_that_names_a_submit_is_its(at: datetime, prompt: str, answered: tuple[Sent, ...]) -> None:
    """Whenever it was made by the vendor's clock, whatever else is shown, and whoever else sent the same."""
    rival = addressed("rival")
    run = showing("run", f"{PLACE}?lost", at, prompt)
    proof = known(run, unanswered=(LOST, rival), answered=answered).judge(DOUBTED_LOST)
    assert proof.request == run


def test_a_run_that_names_another_submit_is_not_this_ones() -> None:
    """An equal one of the same moment, without an answer as well: this one started none."""
    run = showing("run", f"{PLACE}?rival")
    assert known(run, unanswered=(LOST, addressed("rival"))).judge(DOUBTED_LOST).finding is Finding.ABSENT


def test_the_run_that_names_it_comes_before_an_equal_one() -> None:
    """An older one whose submit has another run by now: answers of equal jobs were mixed up."""
    older, own = showing("older", f"{PLACE}?swapped", INTENDED), showing("own", f"{PLACE}?lost")
    swapped = addressed("swapped", "taken")
    given = known(older, own, answered=(ANSWERED, swapped))
    assert given.judge(DOUBTED_LOST).request == own
    assert replace(given, look=Look({"older": older, "later": ANSWERED_ROW}, True)).judge(DOUBTED_LOST).request == older


@pytest.mark.parametrize("shown", [PLACE, None], ids=["place alone", "nothing"])
def test_equal_submits_whose_rows_show_no_address_are_as_good(shown: str | None) -> None:
    """As photos that are sent as bytes: one of the same photo is a run of it."""
    later = showing("later", shown, OVER)
    given = evidence(later, showing("run", shown), answered=(ANSWERED,), unanswered=(LOST, addressed("rival")))
    assert given.judge(DOUBTED_LOST).finding is Finding.FOUND


def test_a_run_of_the_photo_is_found_before_anything_is_learnt() -> None:
    """Its row shows all that was sent but for what is signed."""
    proof = evidence(showing("run", PLACE), answered=(), claimed=frozenset(), unanswered=(LOST,)).judge(DOUBTED_LOST)
    assert proof.finding is Finding.FOUND


def test_a_photo_elsewhere_is_no_photo_of_ours() -> None:
    """Where rows show addresses as they were sent, a run of a sender's URL is another's."""
    run = showing("run", "https://example.com/cup.png")
    assert known(run).judge(DOUBTED_LOST).finding is Finding.ABSENT


@pytest.mark.parametrize("is_later_placed", [True, False])
def test_only_a_submit_that_sent_an_address_proves_another_absent(*, is_later_placed: bool) -> None:
    """Rows of others may be shown otherwise."""
    later = replace(ANSWERED, inputs={"image": address("answered"), "prompt": MARKS["prompt"]}, address=None)
    finding = known(answered=(ANSWERED if is_later_placed else later,)).judge(DOUBTED_LOST).finding
    assert finding is (Finding.ABSENT if is_later_placed else Finding.OPEN)


def test_an_answer_that_named_a_run_of_another_photo_is_noticed() -> None:
    """Its row shows an address of another place of ours."""
    good = [addressed(f"good{n}", f"good{n}") for n in range(3)]
    rows = [showing(f"good{n}", f"{PLACE}?good{n}") for n in range(3)]
    wrong = showing("wrong", "https://ours.example.com/q.png?fooled")
    fooled = addressed("fooled", "wrong")
    assert [pair.sent for pair in known(*rows, wrong, answered=(*good, fooled)).mixed_up] == [fooled]


# Absent: a submit is absent, and repeated, only where everything is proven.

LACKING: Mapping[Gap, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    Gap.UNREAD: ({"look": Look({"later": LATER_ROW}, is_complete=False)}, {}),
    Gap.NOT_WRITTEN: ({}, {"inputs": None}),
    Gap.LIVES: ({}, {"is_over": False}),
    Gap.MAY_LAND: ({"now": AT_LAST - SECOND}, {}),
    Gap.MISSING: ({"answered": (LATER, replace(LATER, run="x", over_at=OVER))}, {}),
    Gap.WAS_ABSENT: ({}, {"was_absent": True}),
    Gap.NO_LATER_SUBMIT: ({"answered": ()}, {}),
}
"""Each condition of a proof of absence, taken away: in the evidence, or in what is known of the submit."""


@pytest.mark.parametrize("is_inline", [True, False])
def test_a_submit_is_absent(*, is_inline: bool) -> None:
    """A later submit of the same kind is listed as such rows are, and this one is not, long after it was over."""
    given = evidence(answered=(replace(LATER, is_inline=is_inline),))
    proof = given.judge(replace(DOUBTED, is_inline=is_inline))
    assert (proof.finding, proof.request) == (Finding.ABSENT, None)


@pytest.mark.parametrize("lacking", LACKING)
def test_one_condition_less_leaves_it_open(lacking: Gap) -> None:
    """And each case says why in words of its own."""
    of_evidence, of_doubted = LACKING[lacking]
    proof = replace(evidence(), **of_evidence).judge(replace(DOUBTED, **of_doubted))
    assert (proof.finding, proof.gap, proof.why) == (Finding.OPEN, lacking, str(lacking))


@pytest.mark.parametrize(
    "later",
    [
        replace(LATER, intended_at=OVER - SECOND),
        replace(LATER, run="y", over_at=AT_LAST),
        replace(LATER, is_inline=False),
    ],
    ids=["made before it", "not listed yet", "of another kind"],
)
def test_what_proves_nothing(later: Sent) -> None:
    """It does no harm beside a submit that does prove it."""
    assert evidence(answered=(later,)).judge(DOUBTED).gap is Gap.NO_LATER_SUBMIT
    assert evidence(answered=(later, LATER)).judge(DOUBTED).finding is Finding.ABSENT


def test_only_silence_lets_a_5xx_be_sent_again() -> None:
    """There is no history, or it was read whole and has nothing to say: no other gap is silence."""
    assert {gap for gap in Gap if gap.is_silence} == {Gap.NO_HISTORY, Gap.NO_LATER_SUBMIT}


@pytest.mark.parametrize(
    ("latest", "settle"),
    [(None, 5), (1, 5), (2, 5), (2.5, 5), (7, 14), (20, 30)],
)
def test_how_long_a_row_may_still_land(latest: float | None, settle: float) -> None:
    """Twice as long as the latest was seen to take; five minutes at the least, half an hour at the most."""
    minute = timedelta(minutes=1)
    assert settled_after(5 * minute, latest * minute if latest else None) == settle * minute
