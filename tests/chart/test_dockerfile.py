"""The Dockerfile: clean by the linter's rules, and by ours."""

import re
import subprocess
from pathlib import Path

DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"


def instructions(stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage as pairs of word and argument, continued lines joined."""
    text = re.sub(r"^#.*\n", "", stage, flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_hadolint_finds_nothing(tools: Path) -> None:
    """The linter has no complaint, not even for information."""
    result = subprocess.run([tools / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, "")


def test_both_stages_have_one_base() -> None:
    """The environment runs on the very Python that it was made with, which a build can name by its digest."""
    text = DOCKERFILE.read_text()
    [base] = re.findall(r"^ARG BASE=(\S+)", text, re.MULTILINE)

    assert re.fullmatch(r"python:3\.13-slim-trixie", base)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}"] * 2
    assert text.index("ARG BASE") < text.index("FROM"), "before the first stage, so that both have it"
    assert "--build-arg BASE=python@sha256:" in text, "how, for whoever builds"


def test_the_image_runs_the_program_as_nobody_in_particular() -> None:
    """The last stage has a numeric user, the program without a shell as its entry point, and SIGTERM."""
    last = dict(instructions("FROM " + DOCKERFILE.read_text().rpartition("FROM ")[2]))

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["ENTRYPOINT"] == '["sam3d"]'
    assert last["STOPSIGNAL"] == "SIGTERM"


def test_nothing_unlocked_is_installed() -> None:
    """Each install either checks the hashes of a lock or has no index to take anything from."""
    steps = [argument for word, argument in instructions(DOCKERFILE.read_text()) if word == "RUN"]
    commands = [
        command for step in steps for command in step.split("&&") if re.search(r"pip .*(install|wheel)\b", command)
    ]
    installs = [command for command in commands if "uninstall" not in command]

    assert len(installs) == 4
    assert all("--require-hashes" in command or "--no-index" in command for command in installs)


def test_bytecode_does_not_hang_on_file_times() -> None:
    """Environment and standard library are compiled once, by hash; a container that may not write can't."""
    steps = [argument for word, argument in instructions(DOCKERFILE.read_text()) if word == "RUN"]
    compiled = re.findall(r"compileall -q -f --invalidation-mode unchecked-hash +(\S+)", " ".join(steps))
    into_environment = [command for step in steps for command in step.split("&&") if "pip --python" in command]

    assert compiled == ["/opt/sam3d/lib", '"$(python']
    assert all("--no-compile" in command for command in into_environment)
