"""Certificates of an authority that a test alone trusts, made by the program `openssl`."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.services.processes import ServiceError


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, each in a file."""

    certificate: Path
    key: Path


class Authority:
    """Who vouches for certificates; its own one is in ``file``."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("openssl"):
            raise ServiceError("openssl is missing; run: make services")
        self._folder = folder
        self._own = Certificate(folder / "ca.pem", folder / "ca.key")
        self._make(self._own, "authority", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")

    @property
    def file(self) -> Path:
        """What whoever trusts it is given."""
        return self._own.certificate

    def vouch_for(self, name: str) -> Certificate:
        """Make a certificate for a host of this name."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        self._make(made, name, f"subjectAltName=DNS:{name}", signed_by=self._own)
        return made

    def _make(self, made: Certificate, name: str, *extensions: str, signed_by: Certificate | None = None) -> None:
        command: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", f"/CN={name}", "-out", made.certificate, "-keyout", made.key]
        command += [part for each in extensions for part in ("-addext", each)]
        if signed_by:
            command += ["-CA", signed_by.certificate, "-CAkey", signed_by.key]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise ServiceError(f"openssl failed:\n{done.stderr}")
