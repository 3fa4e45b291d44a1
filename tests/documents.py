"""The pages for people, and their parts that are made from the code: ``python -m tests.documents`` renews them."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from worker.cli.settings import shown
from worker.config.environment import VARIABLES
from worker.intake.admission import HEADERS
from worker.intake.images import FORMATS, MAX_PIXELS, MAX_URL_LENGTH
from worker.intake.request import MAX_COORDINATE, MAX_NESTING, MAX_POINTS, ReconstructionRequest
from worker.rules.lifecycle import JobState, Trigger, next_state

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, SECURITY, CONTRIBUTING, CHANGELOG = (
    ROOT / f"{name}.md" for name in ("README", "SECURITY", "CONTRIBUTING", "CHANGELOG")
)
ARCHITECTURE, CONTRACT, GLOSSARY, OPERATIONS, POLLING, PROMISES = (
    DOCS / f"{name}.md" for name in ("architecture", "contract", "glossary", "operations", "polling", "promises")
)
PAGES = [README, CONTRIBUTING, SECURITY, CHANGELOG, ARCHITECTURE, CONTRACT, GLOSSARY, OPERATIONS, POLLING, PROMISES]
ELSEWHERE = [
    ROOT / name / "README.md" for name in ("charts/sam3d-worker", "tests/faults", "worker/photos", "worker/viewer")
]


def settings_table() -> str:
    """Write the settings as a table of Markdown."""
    rows = [f"| `{name}` | {_default(about.default)} | {about.description} |" for name, about in VARIABLES.items()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else shown(value)
    return "" if plain is None else f"`{plain}`"


_IN_PIXELS = f"numbers from 0 to {MAX_COORDINATE:,.0f}"

LIMITS = {
    "image": f"{MAX_PIXELS // 10**6} million pixels; {', '.join(FORMATS)}; "
    f"a URL of {MAX_URL_LENGTH} ASCII characters, without user and password",
    "mask": "as `image`",
    "prompt": "text",
    "bounding_box": f"four {_IN_PIXELS}; x2 > x1, y2 > y1",
    "point_coords": f"1 to {MAX_POINTS} pairs of {_IN_PIXELS}",
    "seed": "a whole number",
    "include_artifacts": "true or false",
    "job_id": "a UUID with dashes",
    "idempotency_key": "text",
    "priority": "a whole number",
    "force": "true or false",
    "metadata": f"an object, nested {MAX_NESTING} levels deep, without U+0000",
}
"""What a field may hold, beside what its description says."""


def _may_be(name: str) -> str:
    """Say what a field may be, with the bounds that its schema has."""
    schema = ReconstructionRequest.model_json_schema()["properties"][name]
    allowed = schema.get("anyOf", [schema])[0]
    said = [LIMITS[name]]
    if "maxLength" in allowed:
        said.append(f"{allowed['minLength']} to {allowed['maxLength']} characters")
    if "maximum" in allowed:
        said.append(f"{allowed['minimum']} to {allowed['maximum']}")
    return ", ".join(said)


def request_table() -> str:
    """Write the fields of a request as a table of Markdown."""
    rows = [
        f"| `{name}`{' (required)' if about.is_required() else ''} | {about.description} | {_may_be(name)} |"
        for name, about in ReconstructionRequest.model_fields.items()
    ]
    return "\n".join(["| field | meaning | may be |", "|---|---|---|", *rows])


def headers_table() -> str:
    """Write the headers by which a Celery message is put aside as a table of Markdown."""
    rows = [f"| `{name}` | {why} |" for name, why in HEADERS.items() if isinstance(why, str)]
    return "\n".join(["| header | is refused as |", "|---|---|", *rows])


def metrics_table() -> str:
    """Write the metrics as a table of Markdown, from where they are made."""
    made = [
        each for file in sorted((ROOT / "worker").rglob("*.py")) for each in _metrics_of(ast.parse(file.read_text()))
    ]
    return "\n".join(["| metric | is |", "|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in made)])


def _metrics_of(code: ast.AST) -> Iterator[tuple[str, str]]:
    values = {
        each.targets[0].id: each.value.value
        for each in ast.walk(code)
        if isinstance(each, ast.Assign)
        and isinstance(each.targets[0], ast.Name)
        and isinstance(each.value, ast.Constant)
    }
    for call in (each for each in ast.walk(code) if isinstance(each, ast.Call)):
        match call:
            case ast.Call(ast.Name("gauge" | "Gauge"), [ast.Constant(str() as name), meaning, *_]):
                said = meaning.value if isinstance(meaning, ast.Constant) else values[meaning.id]  # type: ignore[attr-defined]
                yield f"sam3d_{name.removeprefix('sam3d_')}", str(said)


def map_table() -> str:
    """Write the map of ``worker/`` as a table of Markdown."""
    said = ast.get_docstring(ast.parse((ROOT / "worker/__init__.py").read_text())) or ""
    lines = re.findall(r"^``(\w+)`` +(.*)$", said, re.MULTILINE)
    return "\n".join(
        [
            "| in `worker/` | is |",
            "|---|---|",
            *(f"| {_linked(name)} | {is_.replace('``', '`')} |" for name, is_ in lines),
        ]
    )


def _linked(name: str) -> str:
    folder = (ROOT / "worker" / name).is_dir()
    return f"[`{name}`](../worker/{name}/__init__.py)" if folder else f"[`{name}`](../worker/{name}.py)"


def layers_block() -> str:
    """Write the layers that import-linter holds as a block of text."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each["type"] == "layers"]
    return "\n".join(["```text", *(each.replace("worker.", "") for each in layers), "```"])


def transitions_table() -> str:
    """Write the transitions of a job's states as a table of Markdown."""
    rows = [f"| `{state}` | {_moves(state)} |" for state in JobState]
    return "\n".join(["| state | what happens → what it becomes |", "|---|---|", *rows])


def _moves(state: JobState) -> str:
    moves = ((trigger, next_state(state, trigger)) for trigger in Trigger)
    return " · ".join(f"{trigger} → `{following}`" for trigger, following in moves if following) or "final"


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ARCHITECTURE: {"map": map_table, "layers": layers_block, "transitions": transitions_table},
    CONTRACT: {"request": request_table, "headers": headers_table},
    OPERATIONS: {"metrics": metrics_table, "settings": settings_table},
}
"""What is made from the code alone, by its page and its name there."""


def part_of(page: Path, name: str) -> str:
    """Return a part of a page, without its marks."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n?<!-- /{name} -->", page.read_text(), re.DOTALL)
    assert found, f"{page.name} has no part {name}"
    return found[1]


def renew(page: Path, parts: Mapping[str, str]) -> None:
    """Write the parts of a page anew."""
    text = page.read_text()
    for name, part in parts.items():
        part_of(page, name)
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marks.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)  # type: ignore[misc]
    page.write_text(text)


def cells_of(text: str) -> list[list[str]]:
    """Return the cells of the tables in a text of Markdown, without those that only draw."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def quoted(text: str) -> set[str]:
    """Return what a text has between backticks."""
    return set(re.findall(r"`([^`]+)`", text))


def code_of(page: Path, having: str) -> str:
    """Return a page's only block of code that has a text in it."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    [code] = [each for each in blocks if having in each]
    return str(code)


if __name__ == "__main__":
    for each_page, made in PARTS.items():
        renew(each_page, {name: make() for name, make in made.items()})
    from tests.walks import walked_anew  # A whole service, which who only reads pages needs not.

    renew(ARCHITECTURE, walked_anew())
