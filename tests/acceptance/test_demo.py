"""The embedded default: a photo in, a model and its picture out, with nothing but this machine."""

import json
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image


def labels(printed: str) -> list[str]:
    """Return the names in the first column of a job that was printed, each as wide as its column."""
    return re.findall(r"^[a-z ]{19} (?=\S)", printed.partition("\nsubmissions\n")[0], re.MULTILINE)


@pytest.mark.parametrize("photo", ["coffee.png", "cat.png"])
def test_the_demo_makes_a_model_and_a_picture_of_it(tmp_path: Path, photo: str) -> None:
    """Every message arrives by itself, none by the sweep, and nothing is logged as an error."""
    command = [sys.executable, "-m", "worker", "demo", f"worker/photos/{photo}", "--out", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert "Traceback" not in done.stderr
    assert '"error"' not in done.stderr
    assert "A simulator made this model" in done.stdout
    sample = Path("README.md").read_text().partition("$ make demo\n")[2].partition("```")[0]
    assert labels(done.stdout) == labels(sample), "the README shows what is printed"
    job = json.loads((tmp_path / "job.json").read_text())
    assert [event["type"].rpartition(".")[2] for event in job["history"]] == ["accepted", "submitted", "succeeded"]
    assert job["expired_leases"] == 0
    waited = datetime.fromisoformat(job["submitted_at"]) - datetime.fromisoformat(job["accepted_at"])
    assert waited < timedelta(seconds=25), "a message that gets lost is swept after thirty"
    assert (tmp_path / "model.glb").read_bytes()[:4] == b"glTF"
    with Image.open(tmp_path / "preview.png") as picture:
        colours = picture.convert("RGB").resize((64, 48)).getcolors(64 * 48)
    assert len(colours or []) > 100, "it is a picture of something"
