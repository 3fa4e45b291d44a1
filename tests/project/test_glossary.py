"""The glossary has each word of the domain, and the code obeys it."""

import ast
import re

from tests.documents import GLOSSARY, ROOT, cells_of, quoted

TERMS = (
    "ticket", "follow-up", "outcome", "trigger", "change", "verdict", "doubt", "proof", "outlook", "terms", "session",
    "intent", "account", "dead letter", "failpoint", "slot", "hold", "lease", "sweep", "fence", "ledger", "relay",
    "task", "message", "job", "submission", "attempt", "poll", "snooze", "output", "event", "sender", "put aside",
    "outage", "reconcile", "run", "limit", "release", "retry", "adopt", "give back", "restored", "compare", "stray",
    "plan", "price", "step", "state", "outbox", "post", "probe", "prune", "budget", "history", "evidence", "standing",
)  # fmt: skip
"""What a newcomer meets; each of them is one thing."""


def entries() -> list[list[str]]:
    """Return the entries of the glossary: the word, what it is, where it is in the code."""
    return [cells for cells in cells_of(GLOSSARY.read_text()) if cells[0] != "word"]


def test_the_glossary_has_a_line_for_each_word() -> None:
    """One line, and each word once."""
    words = [word for word, _, _ in entries()]
    assert set(TERMS) - set(words) == set()
    assert len(words) == len(set(words))


def test_the_glossary_has_a_line_for_each_value_that_is_decided_on() -> None:
    """Every public class of the rules is a word."""
    classes = {
        each.name
        for file in (ROOT / "worker/rules").glob("*.py")
        for each in ast.walk(ast.parse(file.read_text()))
        if isinstance(each, ast.ClassDef) and not each.name.startswith("_")
    }
    assert len(classes) > 40
    assert classes - {name for _, _, where in entries() for name in quoted(where)} == set()


def test_each_word_of_the_glossary_is_in_the_code() -> None:
    """What it is called there is a name there."""
    files = [file for file in (ROOT / "worker").rglob("*.py") if "simulator" not in file.parts]
    code = "\n".join(file.read_text() for file in files)
    names = [name for _, _, where in entries() for name in quoted(where)]
    assert len(names) >= len(entries())
    assert [each for each in names if not re.search(rf"\b{re.escape(each)}\b", code)] == []
