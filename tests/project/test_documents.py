"""The pages for people say what the code says, and all that they point to is there."""

import ast
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
import typer.main
from cloudevents.core.bindings.rabbitmq import to_binary
from cloudevents.core.formats.json import JSONFormat

from tests.documents import (
    CHANGELOG,
    CONTRACT,
    DOCS,
    ELSEWHERE,
    OPERATIONS,
    PAGES,
    PARTS,
    README,
    ROOT,
    SECURITY,
    cells_of,
    part_of,
    quoted,
)
from worker.cli.main import app
from worker.database.outbox import Event
from worker.errors import HoldCause
from worker.events.publisher import as_cloud_event
from worker.rules.lifecycle import LOGGED_END, EventType
from worker.work.ends import TOLD_END

WARNING = re.compile(r"""log\.(?:warning|error|exception|critical)\(\s*"([a-z_]+)\"""")
FOR_TESTS = {"failpoint_struck", "failpoints_armed"}
CODE = {file: ast.parse(file.read_text()) for file in (ROOT / "worker").rglob("*.py")}


def rows(page: Path, title: str) -> list[list[str]]:
    """Return the cells of the tables below a heading of a page."""
    below = re.split(rf"^## {title}$", page.read_text(), flags=re.MULTILINE)[1]
    return cells_of(below.partition("\n## ")[0])


# What is made from the code.


@pytest.mark.parametrize(("page", "name"), [(page, name) for page, made in PARTS.items() for name in made])
def test_generated_parts_are_up_to_date(page: Path, name: str) -> None:
    """Tables of settings, fields, headers, metrics and states, and the map; renew them with ``make docs``."""
    assert part_of(page, name) == PARTS[page][name]()


# What is written by hand.


def test_the_readme_takes_three_minutes() -> None:
    """What does not fit into 200 lines has a page of its own."""
    assert len(README.read_text().splitlines()) <= 200


def test_the_picture_says_who_made_the_model() -> None:
    """Nobody takes the stand-in's model for the vendor's."""
    [said] = re.findall(r"!\[(.*?)\]\(docs/preview\.jpg\)", README.read_text())
    assert "simulator" in said


def test_every_page_is_found_from_the_readme() -> None:
    """No page is for those alone who know its name."""
    assert {str(page.relative_to(ROOT)) for page in PAGES if page != README} - set(linked(README.read_text())) == set()
    assert {page for page in DOCS.glob("*.md") if page not in PAGES} == set()


def test_every_warning_is_explained() -> None:
    """Whoever is woken by one finds what it means and what to do."""
    warnings = {event for file in CODE for event in WARNING.findall(file.read_text())}
    warnings |= {LOGGED_END[state] for state, (level, _) in TOLD_END.items() if level >= logging.WARNING}
    assert len(warnings) > 50
    assert {each for each in warnings - FOR_TESTS if f"`{each}`" not in OPERATIONS.read_text()} == set()


def test_no_line_is_explained_that_is_never_logged() -> None:
    """What the page has as a line of the log is one."""
    said = chain.from_iterable(quoted(cells[0]) for cells in rows(OPERATIONS, "At three in the morning"))
    words = {each for each in said if re.fullmatch(r"[a-z]+(_[a-z]+)+", each) and not each.startswith("sam3d_")}
    known = {each.value for code in CODE.values() for each in ast.walk(code) if isinstance(each, ast.Constant)}
    assert words - known == set()


def codes_in(code: ast.AST) -> Iterator[str]:
    """Return the error codes that a file gives: as a class's own, of a failure, a refusal or an event."""
    for each in ast.walk(code):
        match each:
            case ast.Assign([ast.Name("code")], ast.Constant(str() as value)):
                yield value
            case ast.Call(ast.Name("Fail"), [_, ast.Constant(str() as value), *_]):
                yield value
            case ast.Call(ast.Name("InvalidMessage"), [_, _, ast.Constant(str() as value)]):
                yield value
            case ast.Call(ast.Name("error_payload"), [ast.Constant(str() as value), *_]):
                yield value
            case ast.arguments(args=[*_, ast.arg("code")], defaults=[*_, ast.Constant(str() as value)]):
                yield value


def test_every_error_code_is_explained() -> None:
    """Each with what it means and whether sending again helps; and none that there is not."""
    given = {value for code in CODE.values() for value in codes_in(code)}
    table = [cells for cells in rows(CONTRACT, "Error codes") if cells[0] != "code"]
    assert all(len(cells) == 4 and all(cells) for cells in table)
    explained = {code for cells in table for code in quoted(cells[0])}
    [inside] = re.findall(r"^In no event: (.*)$", CONTRACT.read_text(), re.MULTILINE)
    assert len(given) > 12
    assert given == explained | quoted(inside)
    assert explained & quoted(inside) == set()


def test_every_event_is_explained() -> None:
    """By its routing key, and none that there is not."""
    assert {cells[0] for cells in rows(CONTRACT, "Events")} >= {f"`{each}`" for each in EventType}
    named = re.findall(r"`(sam3d\.(?:reconstruction|account)\.\w+)`", CONTRACT.read_text())
    assert set(named) - set(EventType) - {"sam3d.reconstruction.requested"} == set()


def test_every_cause_of_a_hold_is_explained() -> None:
    """With what ends it."""
    table = rows(CONTRACT, "Why an account is held")
    assert {cells[0] for cells in table} - {"cause"} == {f"`{each}`" for each in HoldCause}


def test_every_header_of_an_event_is_explained() -> None:
    """What a consumer finds beside the body."""
    event = Event("id", "job", EventType.ACCEPTED, {}, datetime.now(UTC))
    message = to_binary(as_cloud_event(event), JSONFormat())
    assert {name for name in message.headers if f"header `{name}`" not in CONTRACT.read_text()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_table_is_whole(page: Path) -> None:
    """A head, and as many cells in each row."""
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)
    for table in tables:
        first, second, *more = table.splitlines()
        assert re.fullmatch(r"(\|---)+\|", second), first
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in [first, *more]} == {second.count("|")}, first


# Links, paths, commands, targets.

ROOTS, ENDS = (ROOT, ROOT / "worker"), ("", ".py")


def linked(text: str) -> list[str]:
    """Return what a page links to, without its blocks of code."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *ELSEWHERE], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each file is there, and each heading that is pointed to."""
    for link in linked(page.read_text()):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_path_that_is_named_is_there() -> None:
    """Of the code, with its ending or without, from the root or from ``worker/``."""
    folders = [each.name for each in [*ROOT.iterdir(), *(ROOT / "worker").iterdir()] if each.is_dir()]
    path = re.compile(rf"`((?:{'|'.join(map(re.escape, folders))})/[\w./-]*)`")
    named = {each for page in PAGES if page != CHANGELOG for each in path.findall(page.read_text())}
    assert len(named) > 50
    assert {
        each for each in named if not any((root / f"{each}{end}").exists() for root in ROOTS for end in ENDS)
    } == set()


def test_every_command_that_is_named_is_there() -> None:
    """`sam3d` and what follows it, in all pages."""
    commands: dict[str, object] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    text = "\n".join(page.read_text() for page in [*PAGES, *ELSEWHERE] if page != CHANGELOG)
    named = set(re.findall(r"(?:`|\$ |^)sam3d ([a-z]+)", text, re.MULTILINE))
    assert len(named) > 15
    assert named - set(commands) == set()


def test_every_target_that_is_named_is_there() -> None:
    """`make` and what follows it, in all pages."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text() for page in [*PAGES, *ELSEWHERE] if page != CHANGELOG)
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text))
    assert len(named) > 8
    assert named - targets == set()


def test_the_rights_of_a_producer_are_where_they_are_linked() -> None:
    """Who is refused by the broker finds the two lines that need none."""
    assert "docs/contract.md#celery" in SECURITY.read_text()
