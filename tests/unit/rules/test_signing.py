"""A link to a file: only one of ours, unchanged and in time, leads anywhere."""

import string

import pytest

from worker.rules.signing import Signer, Target, can_be_named

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
TARGET = Target(17, "ab" * 32, "model.glb")
EXPIRES = 1_800_000_000
NOW = EXPIRES - 60.0
SIGNER = Signer([NEW])


def led_to(link: str, signer: Signer = SIGNER, now: float = NOW) -> Target | None:
    """Return what a link leads to."""
    path, _, query = link.partition("?")
    return signer.verified(path, query, now)


LINK = SIGNER.sign(TARGET, EXPIRES)


def test_a_link_of_ours_leads_to_its_file() -> None:
    """It says which output, under which name and content, until when, and whose key signed it; no key is in it."""
    assert led_to(LINK) == TARGET
    assert LINK.startswith(f"/files/{'ab' * 32}/model.glb?output=17&expires={EXPIRES}&key=")
    assert NEW.decode() not in LINK


@pytest.mark.parametrize("position", range(len(LINK)))
def test_each_character_counts(position: int) -> None:
    """Whatever takes its place, or is put beside it, and if it is left out."""
    before, after = LINK[:position], LINK[position + 1 :]
    others = set(string.printable + "é٣\x00") - {LINK[position]}
    assert [each for each in others if led_to(before + each + after)] == []
    assert [each for each in others if led_to(before + each + LINK[position:])] == []
    assert led_to(before + after) is None


def parameters() -> dict[str, str]:
    """Return the parameters of a good link."""
    return dict(each.split("=") for each in LINK.partition("?")[2].split("&"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("output", "18"), ("expires", str(EXPIRES + 1)), ("key", "0" * 8), ("signature", "0" * 64)],
)
def test_each_parameter_counts(name: str, value: str) -> None:
    """None can be another, be left out, come twice, or have company."""
    path, good = LINK.partition("?")[0], parameters()
    others = {each: value for each, value in good.items() if each != name}
    for said in (
        {**good, name: value},
        others,
        {**good, "more": "1"},
        {**others, name.upper(): good[name]},
        {**good, name: ""},
    ):
        assert led_to(f"{path}?{'&'.join('='.join(each) for each in said.items())}") is None
    assert led_to(f"{LINK}&{name}={good[name]}") is None
    assert led_to(f"{LINK}&{name}={value}") is None


@pytest.mark.parametrize(
    "link", ["", "?", "/files/", "/", LINK.partition("?")[0], "?" + LINK.partition("?")[2], LINK * 2, LINK + "\n"]
)
def test_what_is_no_link_leads_nowhere(link: str) -> None:
    """A part of one, or more than one."""
    assert led_to(link) is None


def test_another_file_needs_another_signature() -> None:
    """Under the name, the content or the row of another, a signature is good for nothing."""
    signature = LINK.rpartition("=")[2]
    for other in (Target(18, "ab" * 32, "model.glb"), Target(17, "ac" * 32, "model.glb"), Target(17, "ab" * 32, "a")):
        assert led_to(SIGNER.sign(other, EXPIRES).rpartition("=")[0] + "=" + signature) is None


def test_a_link_expires_by_the_clock() -> None:
    """To the second."""
    assert led_to(LINK, now=EXPIRES - 0.001) == TARGET
    assert led_to(LINK, now=EXPIRES) is None
    assert led_to(LINK, now=EXPIRES + 1e9) is None


def test_a_foreign_key_signs_nothing() -> None:
    """Nor does it under the name of ours."""
    foreign = Signer([FOREIGN]).sign(TARGET, EXPIRES)
    assert led_to(foreign) is None
    assert led_to(foreign.replace(foreign.partition("key=")[2][:8], parameters()["key"])) is None


def test_keys_are_changed_without_a_gap() -> None:
    """First all know the new one, then it signs, then the old one goes."""
    by_old = Signer([OLD]).sign(TARGET, EXPIRES)
    knowing, signing = Signer([OLD, NEW]), Signer([NEW, OLD])
    assert knowing.sign(TARGET, EXPIRES) == by_old
    assert signing.sign(TARGET, EXPIRES) == LINK
    for signer in (knowing, signing):
        assert (led_to(by_old, signer), led_to(LINK, signer)) == (TARGET, TARGET)
    assert led_to(by_old) is None


@pytest.mark.parametrize("name", ["model.glb", "model-2.glb", "artifacts.zip", "A_1"])
def test_our_names_can_stand_in_a_link(name: str) -> None:
    """As they are: nothing in them is written in another way there."""
    assert can_be_named(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "%41", "é", "a?b", "a\n", "x" * 129, ".hidden"])
def test_others_get_no_link(name: str) -> None:
    """None of them is one of ours."""
    assert not can_be_named(name)
