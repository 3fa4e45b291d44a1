"""Worlds of submits, late rows, clocks, forms and strangers: the judge never passes a run over, nor takes another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.rules.evidence import Evidence
from worker.rules.habits import Sent
from worker.rules.presigned import mark_of_address, mark_of_place
from worker.rules.proof import Doubted, Finding, Window
from worker.rules.run import Inputs, Listed, Look, RemoteStatus
from worker.vendor.history import mark_inputs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SETTLE = 5 * MINUTE
OURS = "https://ours.example.com/p.png?signature="
"""Where a photo of ours is: each submit of it has an address of its own."""

PHOTOS = ["a" * 101, "b" * 101, "https://example.com/c.png", "l" * 1001, OURS]
LARGE = 1000
PROMPTS = [None, "cat", "dog"]
OFFSETS = [timedelta(0), timedelta(hours=5.5), -timedelta(hours=8), 3 * MINUTE]


@dataclass(frozen=True)
class Submit:
    """A submit of a world: what was sent and when, whether it was answered, and what became of it."""

    number: int
    body: Mapping[str, Any]
    at: datetime
    is_answered: bool
    has_run: bool
    lateness: timedelta
    is_stranger: bool = False

    @property
    def run(self) -> str:
        """Name the run that it started, if it did."""
        return f"run{self.number}"

    @property
    def sent(self) -> Mapping[str, Any]:
        """What was sent: an address that nobody else sends, where the photo is ours."""
        image = str(self.body["image"])
        return {**self.body, "image": f"{image}{self.number}" if image == OURS else image}

    @property
    def marks(self) -> Inputs:
        """What is kept of it."""
        is_ours = self.body["image"] == OURS
        return {**mark_inputs(self.sent), **({"image": mark_of_place(OURS)} if is_ours else {})}

    @property
    def address(self) -> str | None:
        """The mark of the address that names it."""
        return mark_of_address(str(self.sent["image"])) if self.body["image"] == OURS else None


@dataclass(frozen=True)
class World:
    """Submits of ours and of a stranger, the form and the clock of the history, and when it is looked at."""

    submits: tuple[Submit, ...]
    images: str
    ahead: timedelta
    now: datetime
    large: str = "as sent"
    unfilled_for: timedelta = timedelta(0)
    first_shown: frozenset[str] = frozenset()

    def shown(self, submit: Submit) -> Mapping[str, Any]:
        """Return what a row shows of what was sent: where photos are, large ones may not be, or not all of it yet."""
        shown = self._shown_at_last(submit)
        is_new = self.now < submit.at + self.unfilled_for * (submit.number % 2)
        return {name: value for name, value in shown.items() if name in self.first_shown or not is_new}

    def _shown_at_last(self, submit: Submit) -> Mapping[str, Any]:
        image = str(submit.sent["image"])
        rest = {name: value for name, value in submit.body.items() if name != "image"}
        form = self.large if self.images == "as sent" and len(image) > LARGE else self.images
        if form == "stripped":
            return rest | {"image": image.partition("?")[0]}
        if form == "as sent" or (form == "url" and image.startswith("https")):
            return submit.sent
        return rest | ({"image": f"https://theirs/{submit.number}"} if form == "url" else {})

    def look(self) -> Look:
        """Return a complete look: what has landed by now."""
        rows = [
            _listed(each, each.at + SECOND + self.ahead, self.shown(each))
            for each in self.submits
            if each.has_run and each.at + each.lateness <= self.now
        ]
        return Look({row.run: row for row in rows}, is_complete=True)

    def evidence(self) -> Evidence:
        """Return what the service knows of it."""
        ours = [each for each in self.submits if not each.is_stranger]
        answered = [_sent(each, each.run) for each in ours if each.is_answered]
        unanswered = [_sent(each, None) for each in ours if not each.is_answered]
        claimed = frozenset(each.run or "" for each in answered)
        known = Evidence(self.look(), answered, unanswered, claimed, self.now, SETTLE)
        return known.without([pair.sent for pair in known.mixed_up])


def _listed(each: Submit, at: datetime, shown: Mapping[str, Any]) -> Listed:
    image = str(shown.get("image"))
    places = {"image": mark_of_place(image)} if image.startswith("https") else {}
    return Listed(each.run, at, RemoteStatus.PROCESSING, mark_inputs(shown), "me", None, None, (), places=places)


def _sent(each: Submit, run: str | None) -> Sent:
    over = each.at + 2 * SECOND
    return Sent(f"job{each.number}", each.marks, _is_inline(each), each.at, over, run, each.address)


def _is_inline(each: Submit) -> bool:
    return not str(each.body["image"]).startswith("https")


def _doubted(each: Submit) -> Doubted:
    over = each.at + 2 * SECOND
    window = (Window(each.at, over),)
    told = frozenset({each.run} if each.is_answered else {})
    names = frozenset({each.address} if each.address else ())
    return Doubted(f"job{each.number}", each.marks, _is_inline(each), window, over, True, False, told, names)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a world: rows land within the time that the service allows for."""
    kinds = st.sampled_from(["answered", "lost with a run", "lost without", "stranger's"])
    submits = []
    for number, kind in enumerate(draw(st.lists(kinds, min_size=1, max_size=8))):
        prompt, photo = draw(st.sampled_from(PROMPTS)), draw(st.sampled_from(PHOTOS))
        body = {"image": photo} | ({"prompt": prompt} if prompt else {})
        if kind == "stranger's":
            body = {"image": "s" * 101 + f"{number}"} | ({"prompt": f"his {number}"} if prompt else {})
        at = NOON + draw(st.integers(0, 600)) * SECOND
        late = draw(st.integers(0, 290)) * SECOND
        submits.append(Submit(number, body, at, kind == "answered", kind != "lost without", late, kind == "stranger's"))
    if any(each.is_stranger for each in submits):  # He is known by what nobody of ours can have sent.
        first = {"image": "s" * 101, "prompt": "his first"}
        submits.append(Submit(90, first, NOON - MINUTE, False, True, timedelta(0), is_stranger=True))
    images = draw(st.sampled_from(["as sent", "stripped", "dropped", "url"]))
    large = draw(st.sampled_from(["as sent", "dropped", "url"]))
    now = NOON + draw(st.integers(0, 3600)) * SECOND
    ahead, unfilled_for = draw(st.sampled_from(OFFSETS)), draw(st.sampled_from([timedelta(0), 8 * MINUTE, 29 * MINUTE]))
    first_shown = draw(st.sampled_from([frozenset[str](), frozenset({"image"}), frozenset({"prompt"})]))
    return World(tuple(submits), images, ahead, now, large, unfilled_for, first_shown)


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_no_run_is_passed_over_and_none_of_other_inputs_is_taken(world: World) -> None:
    """Absent only where no run was started that nobody has; found only with a run of just what was sent."""
    evidence = world.evidence()
    sent = {each.run: each.body for each in world.submits}
    told = {each.run for each in world.submits if each.address and world.shown(each).get("image") == each.sent["image"]}
    taken: frozenset[str] = frozenset()
    in_doubt = {each.job_id for each in evidence.unanswered}
    lost = [each for each in world.submits if f"job{each.number}" in in_doubt and each.at < world.now]
    for each in sorted(lost, key=lambda submit: submit.at):
        proof = evidence.judge(_doubted(each), taken)
        if proof.request:
            assert sent[proof.request.run] == each.body
            assert proof.request.run == each.run or proof.request.run not in told
            taken |= {proof.request.run}
        if proof.finding is Finding.ABSENT:
            assert not each.has_run or each.run in taken
    assert len(taken) <= len(lost)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_with_prompts_of_their_own_nobody_is_asked(world: World) -> None:
    """Whatever the form and the clock: once rows have settled and a later submit is listed, each doubt ends."""
    named = [
        Submit(each.number, {"image": "x" * 101, "prompt": f"object {each.number}"}, each.at, each.is_answered,
               each.has_run, each.lateness)
        for each in world.submits
        if not each.is_stranger
    ]  # fmt: skip
    hour = NOON + 60 * MINUTE
    later = [
        Submit(100 + n, {"image": "y" * 101, "prompt": f"later {n}"}, hour + n * SECOND, True, True, timedelta(0))
        for n in range(3)
    ]
    strangers = [each for each in world.submits if each.is_stranger]
    whole = World((*named, *strangers, *later), world.images, world.ahead, NOON + timedelta(hours=2))
    evidence = whole.evidence()
    for each in named:
        if not each.is_answered:
            finding = evidence.judge(_doubted(each)).finding
            assert finding is (Finding.FOUND if each.has_run else Finding.ABSENT)
