"""The embedded default: a photo in, a model and its picture out, with nothing but this machine."""

import base64
import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image


def likeness(line: str) -> str:
    """Return a line that was printed without what differs from one run to the next."""
    return re.sub(r"\bin \d+ s\b", "in 4 s", line)


@pytest.mark.parametrize(("photo", "more"), [("coffee.png", []), ("cat.png", ["--verbose"])])
def test_the_demo_makes_a_model_and_a_page_of_it(tmp_path: Path, photo: str, more: list[str]) -> None:
    """Every message arrives by itself, none by the sweep, and nothing is logged as an error."""
    command = [sys.executable, "-m", "worker", "demo", f"worker/photos/{photo}", "--out", str(tmp_path), *more]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert "Traceback" not in done.stderr
    assert '"error"' not in done.stderr
    *before, first, second, third = done.stdout.replace(str(tmp_path), "demo-output").splitlines()
    sample = Path("README.md").read_text().partition("$ make demo\n")[2].partition("```")[0]
    said = [likeness(each) for each in (first, second, third)]
    assert said == [likeness(each) for each in sample.splitlines()[-3:]], "the README shows what is printed"
    assert any(line.startswith("accepted at ") for line in before) == bool(more), (
        "the job is shown where it is asked for"
    )
    assert bool(before) == bool(more)
    job = json.loads((tmp_path / "job.json").read_text())
    assert [event["type"].rpartition(".")[2] for event in job["history"]] == ["accepted", "submitted", "succeeded"]
    assert job["expired_leases"] == 0
    waited = datetime.fromisoformat(job["submitted_at"]) - datetime.fromisoformat(job["accepted_at"])
    assert waited < timedelta(seconds=25), "a message that gets lost is swept after thirty"
    assert (tmp_path / "model.glb").read_bytes()[:4] == b"glTF"
    with Image.open(tmp_path / "preview.png") as picture:
        colours = picture.convert("RGB").resize((64, 48)).getcolors(64 * 48)
    assert len(colours or []) > 100, "it is a picture of something"
    page = (tmp_path / "index.html").read_text()
    assert base64.b64encode((tmp_path / "model.glb").read_bytes()).decode() in page, "to be turned"
    assert '<img alt="The photo" src="data:image/webp;base64,' in page
    assert "A simulator made this model" in page
