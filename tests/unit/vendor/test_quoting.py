"""What the vendor says is told to people, and what it quotes is not."""

import time

import pytest

from worker.vendor.quoting import READ, TOLD, quoted

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
