"""The parts of the README that are made from the code: ``python -m tests.readme`` renews them."""

import re
from pathlib import Path

from pydantic import SecretStr

from worker.cli.settings import shown
from worker.config.environment import VARIABLES
from worker.intake.request import ReconstructionRequest

README = Path(__file__).parents[1] / "README.md"
SECURITY = README.with_name("SECURITY.md")


def settings_table() -> str:
    """Write the settings as a table of Markdown."""
    rows = [f"| `{name}` | {_default(about.default)} | {about.description} |" for name, about in VARIABLES.items()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    plain = value.get_secret_value() if isinstance(value, SecretStr) else shown(value)
    return "" if plain is None else f"`{plain}`"


def request_table() -> str:
    """Write the fields of a request as a table of Markdown."""
    rows = [
        f"| `{name}`{' (required)' if about.is_required() else ''} | {about.description} |"
        for name, about in ReconstructionRequest.model_fields.items()
    ]
    return "\n".join(["| field | meaning |", "|---|---|", *rows])


PARTS = {"settings": settings_table, "request": request_table}


def renewed(text: str) -> str:
    """Return the README with its parts as the code has them."""
    for name, made in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        part = re.compile(f"{begin}.*?{end}", re.DOTALL)
        assert part.search(text), f"the README has no part {name}"
        text = part.sub(lambda _, made=made, begin=begin, end=end: f"{begin}\n{made()}\n{end}", text)  # type: ignore[misc]
    return text


def code_of_readme(having: str) -> str:
    """Return the README's only block of Python that has a text in it."""
    [code] = [
        each
        for each in re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
        if having in each
    ]
    return str(code)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
