"""`make` on a machine whose Python is too old, or that has none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OLD = f"""#!/bin/sh
exec {sys.executable} -c 'import sys; sys.version_info = (3, 10, 12); exec(sys.argv[2])' "$@"
"""


@pytest.mark.parametrize("goal", ["demo", "test", "lint"])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_old_python_gets_one_line(tmp_path: Path, goal: str, is_there: bool) -> None:
    """It says which Python is needed and how to give it, and leaves nothing behind that the next try trips over."""
    python = tmp_path / "python3.10"
    if is_there:
        python.write_text(OLD)
        python.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements-demo.lock", "requirements-dev.lock"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    command, alone = ["make", goal, f"PYTHON={python}"], {"PATH": os.environ["PATH"]}  # It may be run by `make`.
    done = subprocess.run(command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=60, check=False)
    sentence = f"Python 3.11 or later is needed, and {python} is not: set another, as in make demo PYTHON=python3.11\n"
    assert (done.returncode, done.stdout) == (2, sentence)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()
