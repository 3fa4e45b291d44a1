"""The bill of materials has what an installation has."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bill_of_materials_is_of_the_lock() -> None:
    """Each package of the lock at its version, with the hashes that are checked when it is installed."""
    made = subprocess.run(["make", "--silent", "sbom"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr

    bill = json.loads((ROOT / "sbom.cdx.json").read_text())
    listed = {(part["name"], part["version"]) for part in bill["components"]}
    locked = set(
        re.findall(r"^([\w.-]+)(?:\[\w+\])?==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "sam3d-worker")
    assert len(locked) > 30
    assert listed == locked
    assert all(any(each.get("hashes") for each in part["externalReferences"]) for part in bill["components"])
