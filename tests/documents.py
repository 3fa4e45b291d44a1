"""The pages for people, and their parts that are made from the code: ``python -m tests.documents`` renews them."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from tests.services.postgres import PrivatePostgres
from tests.walks import Walk, listed, measured
from worker.app import App, create_app
from worker.cli.settings import shown
from worker.config import Settings
from worker.database.schema import upgrade
from worker.intake.admission import HEADERS
from worker.intake.images import FORMATS, MAX_PIXELS, MAX_URL_LENGTH
from worker.intake.request import (
    LONGEST_TEXT,
    MAX_COORDINATE,
    MAX_METADATA_BYTES,
    MAX_NESTING,
    MAX_POINTS,
    ReconstructionRequest,
)
from worker.rules.job import MAX_IMAGE_BYTES
from worker.rules.lifecycle import JobState, Trigger, next_state
from worker.simulator import Simulator, SimulatorSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README, SECURITY, CONTRIBUTING, CHANGELOG = (
    ROOT / f"{name}.md" for name in ("README", "SECURITY", "CONTRIBUTING", "CHANGELOG")
)
ARCHITECTURE, CONTRACT, GLOSSARY, OPERATIONS, POLLING, PROMISES = (
    DOCS / f"{name}.md" for name in ("architecture", "contract", "glossary", "operations", "polling", "promises")
)
PAGES = [README, CONTRIBUTING, SECURITY, CHANGELOG, ARCHITECTURE, CONTRACT, GLOSSARY, OPERATIONS, POLLING, PROMISES]
ELSEWHERE = [ROOT / "charts/sam3d-worker/README.md", ROOT / "tests/faults/README.md", ROOT / "worker/photos/README.md"]


def settings_table() -> str:
    """Write the settings as a table of Markdown."""
    rows = [
        f"| `{name.upper()}` | {_default(about.default)} | {about.description} |"
        for name, about in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else shown(value)
    return "" if plain is None else f"`{plain}`"


_IN_PIXELS = f"numbers from 0 to {MAX_COORDINATE:.0e}".replace("e+0", "e")

LIMITS = {
    "image": f"{MAX_IMAGE_BYTES // 2**20} MiB with the mask, {MAX_PIXELS // 10**6} million pixels; {', '.join(FORMATS)}; "
    f"a URL: {MAX_URL_LENGTH} ASCII characters, no user or password",
    "mask": "as `image`",
    "prompt": f"1 to {LONGEST_TEXT} characters",
    "bounding_box": f"four {_IN_PIXELS}; x2 > x1, y2 > y1",
    "point_coords": f"1 to {MAX_POINTS} pairs of {_IN_PIXELS}",
    "seed": "a whole number",
    "include_artifacts": "true or false",
    "job_id": "a UUID with dashes",
    "idempotency_key": "1 to 255 characters",
    "priority": "a whole number from -100 to 100; without it 0",
    "metadata": f"an object of {MAX_METADATA_BYTES // 1024} KiB as JSON, nested {MAX_NESTING} levels deep; no U+0000",
}
"""What a field may hold, beside what its description says."""


def request_table() -> str:
    """Write the fields of a request as a table of Markdown."""
    rows = [
        f"| `{name}`{' (required)' if about.is_required() else ''} | {about.description} | {LIMITS[name]} |"
        for name, about in ReconstructionRequest.model_fields.items()
    ]
    return "\n".join(["| field | meaning | may be |", "|---|---|---|", *rows])


def headers_table() -> str:
    """Write the headers by which a Celery message is put aside as a table of Markdown."""
    rows = [f"| `{name}` | {why} |" for name, why in HEADERS.items() if isinstance(why, str)]
    return "\n".join(["| header | is refused as |", "|---|---|", *rows])


def metrics_table() -> str:
    """Write the metrics as a table of Markdown, from where they are made."""
    made = [each for file in sorted((ROOT / "worker").rglob("*.py")) for each in _metrics_of(ast.parse(file.read_text()))]
    return "\n".join(["| metric | is |", "|---|---|", *(f"| `{name}` | {meaning} |" for name, meaning in made)])


def _metrics_of(code: ast.AST) -> Iterator[tuple[str, str]]:
    values = {
        each.targets[0].id: each.value.value
        for each in ast.walk(code)
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name) and isinstance(each.value, ast.Constant)
    }
    for call in (each for each in ast.walk(code) if isinstance(each, ast.Call)):
        match call:
            case ast.Call(ast.Name("gauge" | "Gauge"), [ast.Constant(str() as name), meaning, *_]):
                said = meaning.value if isinstance(meaning, ast.Constant) else values[meaning.id]  # type: ignore[attr-defined]
                yield f"sam3d_{name.removeprefix('sam3d_')}", said


def map_table() -> str:
    """Write the map of ``worker/`` as a table of Markdown."""
    said = ast.get_docstring(ast.parse((ROOT / "worker/__init__.py").read_text())) or ""
    lines = re.findall(r"^``(\w+)`` +(.*)$", said, re.MULTILINE)
    return "\n".join(["| in `worker/` | is |", "|---|---|", *(f"| {_linked(name)} | {is_} |" for name, is_ in lines)])


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
    return " · ".join(f"{trigger} → `{following}`" for trigger, following in moves if following)


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    ARCHITECTURE: {"map": map_table, "layers": layers_block, "transitions": transitions_table},
    CONTRACT: {"request": request_table, "headers": headers_table},
    OPERATIONS: {"metrics": metrics_table, "settings": settings_table},
}
"""What is made from the code alone, by its page and its name there."""


def walked_parts(walks: Mapping[str, Walk]) -> Mapping[str, str]:
    """Write the walks as the parts of ARCHITECTURE that they are, the second and third as what is new in them."""
    known = list(walks["job"].leads_on)
    return {name: listed(walk, () if name == "job" else known) for name, walk in walks.items()}


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


def code_of(page: Path, having: str) -> str:
    """Return a page's only block of code that has a text in it."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    [code] = [each for each in blocks if having in each]
    return str(code)


@contextmanager
def _service() -> Iterator[tuple[App, Simulator]]:
    with PrivatePostgres() as server, Simulator(SimulatorSettings.model_validate({"run_time": 0})) as simulator:
        url = server.create_database("documents")
        upgrade(url)
        app = create_app(walking_settings(url, simulator.url))
        yield app, simulator
        app.close()
        app.services.close()


def walking_settings(database_url: str, vendor_url: str) -> Settings:
    """Return settings of a service in this process, whose runs are over at once."""
    return Settings(
        segmind_api_key=SecretStr("SG_0123456789abcdef"),
        segmind_base_url=vendor_url,
        segmind_account_url=vendor_url,
        sam3d_broker_url=SecretStr("memory://documents"),
        sam3d_database_url=SecretStr(database_url),
        sam3d_output_hosts=(vendor_url,),
        sam3d_expected_run=timedelta(0),
    )


if __name__ == "__main__":
    for each_page, made in PARTS.items():
        renew(each_page, {name: make() for name, make in made.items()})
    with _service() as (service, vendor):
        renew(ARCHITECTURE, walked_parts(measured(service, vendor)))
