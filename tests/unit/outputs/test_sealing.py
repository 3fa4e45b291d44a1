"""A receipt that was signed is found to be as it was; whatever is changed of it is found, and said."""

import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.receipt_keys import make_key, public_of
from worker.errors import ConfigurationError
from worker.outputs.sealing import SIGNATURE, Seal, canonical, fingerprint, public_key_of, why_not_genuine
from worker.rules.receipt import FORMAT, read, written

KEY, OTHER = make_key(), make_key()
RECEIPT: dict[str, Any] = {
    "format": FORMAT,
    "job": {"id": "0dec40d4", "state": "succeeded"},
    "inputs": [{"name": "image", "sha256": "ab" * 32}],
    "cost": {"amount": 0.06, "currency": "USD"},
    "outputs": [{"name": "model.glb", "bytes": 3, "geometry": {"bounds": [[-0.5, 1e-7, 0.0], [1.0, 2, 3]]}}],
    "missing": [],
    "error": None,
}
SEAL = Seal(KEY.encode())
SIGNED = SEAL.signed(RECEIPT)
PUBLIC = public_key_of(public_of(KEY).encode())


def why_not(document: Mapping[str, Any], public: str = KEY) -> str | None:
    """Say why a receipt is not genuine, as whoever has it as a file finds it."""
    return why_not_genuine(read(written(document)), public_key_of(public_of(public).encode()))


def test_a_receipt_is_as_it_was_signed() -> None:
    """Whoever has the public key finds that, from the file alone; the private one has it as well."""
    assert why_not(SIGNED) is None
    assert why_not_genuine(SIGNED, public_key_of(KEY.encode())) is None
    assert {name: each for name, each in SIGNED.items() if name != SIGNATURE} == RECEIPT


def test_the_same_receipt_has_the_same_signature() -> None:
    """However it is ordered: a file that is written twice is one file."""
    turned = dict(reversed(list(RECEIPT.items())))
    assert Seal(KEY.encode()).signed(turned)[SIGNATURE] == SIGNED[SIGNATURE]


def test_how_it_is_written_does_not_matter() -> None:
    """Spaces, the order of names, the writing of a number: what it says is signed."""
    text = json.dumps(dict(reversed(list(SIGNED.items())))).replace("0.06", "6e-2").replace("[1.0,", "[1,")
    assert "6e-2" in text
    assert why_not_genuine(read(text.encode()), PUBLIC) is None


CHANGED: dict[str, Any] = {
    "format": FORMAT + "x",
    "job": {"id": "0dec40d5", "state": "succeeded"},
    "inputs": [],
    "cost": {"amount": 0.060000000000000005, "currency": "USD"},
    "outputs": [{**RECEIPT["outputs"][0], "bytes": 4}],
    "missing": [{}],
    "error": {},
}


@pytest.mark.parametrize("name", RECEIPT)
def test_each_field_that_was_changed_is_named(name: str) -> None:
    """And one that was taken out, and one that was put in."""
    without = {field: each for field, each in SIGNED.items() if field != name}
    told = f"it was changed after it was signed: {name}"
    assert why_not_genuine({**SIGNED, name: CHANGED[name]}, PUBLIC) == told
    assert why_not_genuine(without, PUBLIC) == told
    assert why_not({**SIGNED, "more": 1}) == "it was changed after it was signed: more"


SIGNATURE_OF: dict[str, Any] = dict(SIGNED[SIGNATURE])


def flipped(value: str) -> str:
    """Return another signature of that length."""
    raw = b64decode(value)
    return b64encode(bytes([raw[0] ^ 1]) + raw[1:]).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "none"},
        {"algorithm": None},
        {"key": "ab" * 32},
        {"key": None},
        {"value": flipped(SIGNATURE_OF["value"])},
        {"value": SIGNATURE_OF["value"][:-3] + chr(ord(SIGNATURE_OF["value"][-3]) + 1) + "=="},
        {"value": SIGNATURE_OF["value"] + "\n"},
        {"value": ""},
        {"value": "no base64"},
        {"value": None},
        {"fields": {}},
        {"fields": None},
        {"fields": {**SIGNATURE_OF["fields"], "job": "ab" * 32}},
        {"more": 1},
    ],
    ids=[
        "algorithm",
        "no algorithm",
        "key",
        "no key",
        "value",
        "its last bits",
        "its end",
        "empty",
        "no base64",
        "no value",
        "no fields",
        "none",
        "another",
        "more",
    ],
)
def test_a_signature_that_was_changed_is_none(change: Mapping[str, Any]) -> None:
    """In whatever part of it, also where Ed25519 would not mind."""
    assert why_not({**SIGNED, SIGNATURE: {**SIGNATURE_OF, **change}})


@pytest.mark.parametrize("signature", ["x", 5, [], {}, {"value": 5}], ids=["text", "number", "list", "empty", "odd"])
def test_what_is_no_signature_is_none(signature: object) -> None:
    """It is said so, whatever stands there."""
    assert why_not({**SIGNED, SIGNATURE: signature}) == "its signature is none of this service"


def test_one_without_a_signature_is_said_to_have_none() -> None:
    """It may be true, and nobody vouches for it."""
    assert why_not(RECEIPT) == why_not({**RECEIPT, SIGNATURE: None}) == "it is not signed"


def test_another_key_does_not_vouch() -> None:
    """Nor does a receipt that another key has signed, whatever key that says it is."""
    own = fingerprint(PUBLIC)
    assert why_not(SIGNED, OTHER) == f"it was signed with another key than {fingerprint(public_key_of(OTHER.encode()))}"
    forged = dict(Seal(OTHER.encode()).signed(RECEIPT))
    forged[SIGNATURE] = {**forged[SIGNATURE], "key": own}
    assert why_not(forged) == "its signature is not that of what it says"


@pytest.mark.parametrize("value", [2**53, "\ud800", 10**30], ids=["unsafe", "half a character", "huge"])
def test_what_has_no_form_is_not_signed(value: object) -> None:
    """No error but a sentence, wherever it stands."""
    said = "it has a number or a text that no signed receipt has"
    assert why_not_genuine({**SIGNED, "cost": value}, PUBLIC) == said
    assert why_not_genuine({**SIGNED, "cost": [{"x": value}]}, PUBLIC) == said


def test_the_form_is_that_of_the_standard() -> None:
    """The example of RFC 8785, 3.2.2."""
    example = json.loads(
        r'{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        r'"string": "\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/","literals": [null, true, false]}'
    )
    assert canonical(example).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        r'"string":"€$\u000f\nA' + "'" + r'B\"\\\\\"/"}'
    )


def test_openssl_says_the_same(tmp_path: Path) -> None:
    """Whoever has neither our code nor Python: the key is what our names say, the signature is over the one form."""
    key, content, signature = tmp_path / "public.pem", tmp_path / "content", tmp_path / "signature"
    key.write_text(public_of(KEY))
    content.write_bytes(canonical(RECEIPT))
    signature.write_bytes(b64decode(SIGNATURE_OF["value"]))
    run: Callable[..., Any] = lambda *words: subprocess.run(words, capture_output=True, check=True)  # noqa: E731
    verified = run(
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", content, "-sigfile", signature
    )
    assert b"Verified Successfully" in verified.stdout
    der = run("openssl", "pkey", "-pubin", "-in", key, "-outform", "DER").stdout
    named = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout.decode().split()[0]
    assert named == SIGNATURE_OF["key"]


def test_what_is_no_such_key_is_refused() -> None:
    """Of another kind, of none, or with a passphrase; no part of it is told."""
    of_another_kind = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for pem in (of_another_kind, b"m4rk3r", public_of(KEY).encode(), KEY[:60].encode()):
        with pytest.raises(ConfigurationError, match="SAM3D_RECEIPT_KEY is no Ed25519 private key") as refused:
            Seal(pem)
        assert "m4rk3r" not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert public_key_of(b"m4rk3r") is None
    assert public_key_of(of_another_kind) is None
