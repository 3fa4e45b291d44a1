"""Receipts are signed, and found to be as they were signed: Ed25519 (RFC 8032) over JSON in its one form (RFC 8785).

What is signed is all that a receipt says beside ``signature``. A key is named by the SHA-256 of the public one in DER:
``openssl pkey -pubin -in public.pem -outform DER | sha256sum``.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from worker.errors import ConfigurationError

SIGNATURE = "signature"
ALGORITHM = "Ed25519"

Document = Mapping[str, Any]


class Seal:
    """Signs with one key, a private one in PEM.

    Raises:
        ConfigurationError: it is no such key, or the extra is not installed.
    """

    def __init__(self, pem: bytes) -> None:
        self._key = _loaded("load_pem_private_key", "Ed25519PrivateKey", pem, password=None)
        if self._key is None:
            raise ConfigurationError(
                "SAM3D_RECEIPT_KEY is no Ed25519 private key; make one with `openssl genpkey -algorithm ed25519`."
            )

    def signed(self, receipt: Document) -> Document:
        """Return a receipt with its signature; the same each time."""
        value = self._key.sign(canonical(receipt))
        return {**receipt, SIGNATURE: _signature(receipt, fingerprint(self.public_key), b64encode(value).decode())}

    @property
    def public_key(self) -> Any:
        """The key that others check with."""
        return self._key.public_key()


def public_key_of(pem: bytes) -> Any:
    """Load the key to check with, from the public one or the private one; None where it is neither."""
    public = _loaded("load_pem_public_key", "Ed25519PublicKey", pem)
    private = None if public else _loaded("load_pem_private_key", "Ed25519PrivateKey", pem, password=None)
    return private.public_key() if private else public


def _loaded(load: str, kind: str, pem: bytes, **more: None) -> Any:
    """Load a key of Ed25519; None where it is another's, or none."""
    try:
        key = getattr(_library("cryptography.hazmat.primitives.serialization"), load)(pem, **more)
    except (ValueError, TypeError, _library("cryptography.exceptions").UnsupportedAlgorithm):
        return None
    return (
        key if isinstance(key, getattr(_library("cryptography.hazmat.primitives.asymmetric.ed25519"), kind)) else None
    )


def _library(name: str) -> Any:
    try:  # An extra: whoever signs nothing runs without it.
        return import_module(name)
    except ModuleNotFoundError:
        raise ConfigurationError("Signed receipts need an extra: pip install 'sam3d-worker[receipt]'.") from None


def canonical(value: object) -> bytes:
    """Write JSON in the one form that is signed.

    Raises:
        ValueError: it has a number or a text that this form does not have.
    """
    form: bytes = _library("rfc8785").dumps(value)
    return form


def fingerprint(public_key: Any) -> str:
    """Name a key."""
    forms = _library("cryptography.hazmat.primitives.serialization")
    der = public_key.public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _signature(receipt: Document, key: str, value: str) -> Document:
    """Return what stands beside a receipt; ``fields`` only tell which of them was changed."""
    fields = {name: hashlib.sha256(canonical(each)).hexdigest() for name, each in receipt.items()}
    return {"algorithm": ALGORITHM, "key": key, "fields": fields, "value": value}


def why_not_genuine(document: Document, public_key: Any) -> str | None:
    """Say why a receipt is not as this key has signed it; None where it is."""
    signature = document.get(SIGNATURE)
    if signature is None:
        return "it is not signed"
    receipt = {name: each for name, each in document.items() if name != SIGNATURE}
    try:
        return _why_not(receipt, signature, public_key)
    except ValueError:
        return "it has a number or a text that no signed receipt has"


def _why_not(receipt: Document, signature: Any, public_key: Any) -> str | None:
    own = fingerprint(public_key)
    if not isinstance(signature, dict) or not isinstance(value := signature.get("value"), str):
        return "its signature is none of this service"
    if signature.get("key") != own:
        return f"it was signed with another key than {own}"
    as_it_was = _signature(receipt, own, value)
    if not _is_signed(public_key, value, canonical(receipt)):
        return _changed(as_it_was["fields"], signature.get("fields"))
    return None if signature == as_it_was else "its signature was changed"


def _is_signed(public_key: Any, value: str, content: bytes) -> bool:
    try:
        signed = b64decode(value, validate=True)
        public_key.verify(signed, content)
    except (ValueError, _library("cryptography.exceptions").InvalidSignature):
        return False
    return b64encode(signed).decode() == value


def _changed(found: Mapping[str, str], told: object) -> str:
    """Say what was changed, as far as the digests beside a signature tell it."""
    were = told if isinstance(told, dict) else {}
    names = [name for name in {**were, **found} if were.get(name) != found.get(name)]
    if not names or not were:
        return "its signature is not that of what it says"
    return f"it was changed after it was signed: {', '.join(names[:MOST_NAMED])}"


MOST_NAMED = 20
