"""What a setting is, and what it may be. Durations are seconds in the environment and ``timedelta`` here."""

import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from worker.rules.signing import SHORTEST_KEY
from worker.rules.urls import why_no_address, why_no_public, why_no_store

LONGEST = timedelta(days=36_500)


class Group(BaseModel):
    """Settings of one topic; frozen, and no error shows what was given."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def variable(name: str, default: object, meaning: str, **limits: Any) -> Any:
    """Describe a setting: its variable in the environment, its default, and what docs/operations.md says of it."""
    return Field(default, alias=name, description=meaning, **limits)


def _seconds(value: object) -> object:
    if not isinstance(value, int | float | str):
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise PydanticCustomError("seconds", "must be a number of seconds, from 0 up")
    return timedelta(seconds=seconds)


def _address(value: object) -> object:
    if why := why_no_address(value):
        raise PydanticCustomError("address", "{why}", {"why": why})
    return value


def _public_address(value: object) -> object:
    if why := why_no_public(value):
        raise PydanticCustomError("public", "{why}", {"why": why})
    return value


def split_keys(text: str) -> Sequence[bytes]:
    """Return the keys of a comma list."""
    return [part.strip().encode() for part in text.split(",") if part.strip()]


def _long_keys(value: SecretStr) -> SecretStr:
    keys = split_keys(value.get_secret_value())
    if not keys or any(len(key) < SHORTEST_KEY for key in keys):
        least = f"must be a key of {SHORTEST_KEY} bytes at least, or several with a comma between: openssl rand -hex 32"
        raise PydanticCustomError("key", "{least}", {"least": least})
    return value


def _signing_key(value: SecretStr) -> SecretStr:
    if not is_ed25519(value.get_secret_value()):
        wanted = "must be an Ed25519 private key in PEM, without a passphrase: openssl genpkey -algorithm ed25519"
        raise PydanticCustomError("key", "{wanted}", {"wanted": wanted})
    return value


def is_ed25519(pem: str) -> bool:
    """Tell a private key of Ed25519 from others and from none, by its form (RFC 8410)."""
    found = _PRIVATE_KEY.fullmatch(pem.strip())
    try:
        return found is not None and _ED25519 in b64decode("".join(found[1].split()), validate=True)
    except ValueError:
        return False


_PRIVATE_KEY = re.compile(r"-----BEGIN PRIVATE KEY-----\s([A-Za-z0-9+/=\s]{1,400})-----END PRIVATE KEY-----")
_ED25519 = bytes.fromhex("06032b6570")
"""The name of the algorithm, as a key has it."""


def _store_address(value: object) -> object:
    if why := why_no_store(value):
        raise PydanticCustomError("store", "{why}", {"why": why})
    return value


def _comma_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _age(value: object) -> object:
    return None if value == "never" else value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Positive = Annotated[Seconds, Field(gt=timedelta(0))]
Age = Annotated[Seconds | None, BeforeValidator(_age)]
"""How long something is kept; ``never`` in the environment and None here: it is never deleted."""

Address = Annotated[str, BeforeValidator(_address)]
PublicAddress = Annotated[str, BeforeValidator(_public_address)]
LinkKeys = Annotated[SecretStr, AfterValidator(_long_keys)]
SigningKey = Annotated[SecretStr, AfterValidator(_signing_key)]
StoreAddress = Annotated[str, BeforeValidator(_store_address)]
Hosts = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
