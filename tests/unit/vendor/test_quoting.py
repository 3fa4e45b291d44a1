"""What the vendor says is told to people, and what it quotes is not."""

import time

import pytest

from worker.vendor.quoting import READ, TOLD, quoted, why_failed

PROMPT = {"prompt": "a red cup with a handle"}
LONG = {"prompt": "word " * 400}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Parameter seed must be an integer", "Parameter seed must be an integer"),
        ("no 'a red cup with a handle' here", "no '…' here"),
        ("no 'A Red CUP with\n a handle' here", "no '…' here"),
        ("rejected: a red cup with a ha", "rejected: …"),
        ("see https://files.example/in.png?sig=1 now", "see … now"),
        ("see 'HTTPS%3A%2F%2Ffiles.example%2Fin.png' now", "see … now"),
        ("see files.example/in.png?X-Amz-Signature=1 now", "see … now"),
        ("see 'https:\\/\\/files.example\\/in.png' now", "see … now"),
        ("see files.example/in.png or 10.0.0.1:80/in.png now", "see … or … now"),
        ("no 'a red cu\np with\u200b\\ta\u200bhandle' here", "no '…' here"),
        ("of jane%40example.com", "of …"),
        ("and/or e.g. 1.5 or 0.5/1", "and/or e.g. 1.5 or …"),
        ("the image data:image/png;base64,iVBO is bad", "the image … is bad"),
        (f"bad image {'iVBORw0KGgo' * 9}= here", "bad image … here"),
        ("key SG_0123456789abcdef of jane@example.com", "key … of …"),
        ("a\u200bb\x1b[31m\0\ud800 c\nd", "ab[31m c d"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_sentence_is_told_without_what_it_quotes(said: str | None, shown: str) -> None:
    """No address, image, key or prompt, in part or whole, escaped or not; one line that can be printed."""
    assert quoted(said, PROMPT) == shown


@pytest.mark.parametrize(
    ("prompt", "said", "shown"),
    [
        ("a", "a bad parameter", "… bad parameter"),
        ("cup", "two cups", "two …s"),
        ("杯子", "不能识别杯子。", "不能识别…。"),
        ("café", "no cafe\u0301s", "no …s"),
        ('a "red" cup', 'no "a \\"red\\" cup"', 'no "…"'),
        ("(cup)+", "no (cup)+ here", "no … here"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_short_prompt_is_left_out_too(prompt: str, said: str, shown: str) -> None:
    """Of any script, and whatever it means to a pattern; a letter is no word's part."""
    assert quoted(said, {"prompt": prompt}) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "a?" * 10**6,
        ":/" * 10**6,
        "a@" * 10**6,
        "a." * 10**6,
        "a.a:1" * 10**6,
        "word " * 10**6,
        "%3a" * 10**6,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """It is cut before any pattern is tried."""
    began = time.process_time()
    assert len(quoted(text, LONG)) <= TOLD
    assert time.process_time() - began < 1


def test_a_prompt_at_the_cut_is_left_out() -> None:
    """Half of it is before the cut."""
    assert quoted(" " * (READ - 16) + "a red cup with a handle", PROMPT) == "…"


def test_an_image_that_the_vendor_quotes_is_left_out() -> None:
    """Whatever is long and has no blanks is no sentence."""
    assert why_failed(f"bad image {'iVBORw0KGgo' * 9}=", {}).endswith("says: bad image …")


def test_what_the_vendor_says_is_cut_to_a_line() -> None:
    """A run's own error is told, without what could act on a terminal, and not at any length."""
    sentence = why_failed("no object\x1b[31m\n\0\ud800" + "x " * 500, {})
    assert sentence.startswith("The run failed and was not charged. The vendor says: no object[31m x x x")
    assert sentence.isprintable()
    assert len(sentence) < 400


def test_what_the_vendor_quotes_is_not_told() -> None:
    """Neither the prompt nor an address, which may be signed, gets into a row or an event."""
    said = "no 'a red cup' in https://files.example/in.png?sig=1 today"
    assert why_failed(said, {"prompt": "a red cup"}).endswith("The vendor says: no '…' in … today")


@pytest.mark.parametrize("said", [None, "", "\x00"])
def test_a_run_that_failed_without_a_word(said: str | None) -> None:
    """That is told, too."""
    assert why_failed(said, {}).endswith("The vendor says: nothing")
