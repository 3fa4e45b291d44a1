"""The receipt of a job, printed; or one that somebody has, checked with nothing but its key: ``receipt``."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.cli.look import job_uuid
from worker.cli.opened import opened_database
from worker.cli.show import print_json, print_table, say
from worker.config.environment import load_settings
from worker.database import files, particulars
from worker.database.engine import transaction
from worker.errors import ConfigurationError, InvalidMessage, Sam3dError
from worker.outputs.sealing import fingerprint, public_key_of, why_not_genuine
from worker.outputs.stores import Stores
from worker.rules.lifecycle import JobState
from worker.rules.receipt import LARGEST, NAME, read
from worker.rules.signing import can_be_named
from worker.work.receipts import Receipts


def receipt(job_id: str | None, file: Path | None, key: Path | None, *, as_json: bool) -> None:
    """Print a job's receipt, or check the one in a file."""
    wanted = job_uuid(job_id) if job_id else None
    if file:
        check(file, wanted, key, as_json=as_json)
    elif wanted:
        sys.stdout.write(receipt_of(wanted).decode())
    else:
        raise InvalidMessage("job_id", "Give the ID of a job, or `--verify FILE`.")


def receipt_of(job_id: str) -> bytes:
    """Return the receipt that is kept of a job, else one made of its rows now.

    Raises:
        Sam3dError: there is no such job, it is not over, or what is kept is not what was stored.
    """
    with opened_database() as (settings, engine):
        with transaction(engine) as connection:
            rows, stored = particulars.read(connection, job_id), files.of_job(connection, job_id)
        if rows is None:
            raise Sam3dError(f"There is no job {job_id}; see `sam3d jobs`.")
        if not JobState(rows.job["state"]).is_final:
            raise Sam3dError(f"Job {job_id} is {rows.job['state']}: it has a receipt once it is over.")
        stores = Stores(settings.storage, engine)
        kept = next((each for each in stored if each["name"] == NAME), None)
        return _kept(stores, kept) if kept else Receipts(settings.receipts, engine, stores).of(rows)


def _kept(stores: Stores, row: Mapping[str, Any]) -> bytes:
    content = b"".join(stores.read(row))
    if hashlib.sha256(content).hexdigest() != row["sha256"]:
        raise Sam3dError(f"{row['name']} is not what was stored: its SHA-256 differs.")
    return content


def check(file: Path, job_id: str | None, key: Path | None, *, as_json: bool) -> None:
    """Check that a receipt is as it was signed, and that the files beside it are those that it tells of.

    Needs neither database nor broker nor network.

    Raises:
        Sam3dError: it is not, or they are not; says what is wrong.
    """
    document, public_key = _read(file), _key_to_check(key)
    why_not = why_not_genuine(document, public_key) or _why_another(document, job_id)
    beside = [] if why_not else [_beside(file.parent, each) for each in document["outputs"]]
    wrong = [each["name"] for each in beside if each["is"] == DIFFERS]
    told = {"job_id": _id_of(document), "is_genuine": not why_not, "key": fingerprint(public_key), "why_not": why_not}
    if as_json:
        print_json({**told, "files": beside})
    elif not why_not:
        say(f"{file}: the receipt of job {told['job_id']}, as it was signed with key {told['key']}")
        print_table(beside, ["name", "is"], "files")
    if why_not:
        raise Sam3dError(f"{file} is not genuine: {why_not}.")
    if wrong:
        raise Sam3dError(f"{' and '.join(wrong)} beside {file} is not what the receipt tells of: its SHA-256 differs.")


SAME, DIFFERS, ABSENT = "as the receipt says", "not what the receipt says", "not beside it"


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return read(_content(file, "verify"))
    except ValueError as error:
        raise InvalidMessage("verify", f"{file} is no receipt: {error}.") from None


def _content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(LARGEST + 1)
    except OSError as error:
        raise InvalidMessage(option, f"`--{option}` can't be read: {path}: {error.strerror}.") from None


def _key_to_check(path: Path | None) -> Any:
    """Return the public key that was named, else that of the key that is set."""
    pem = _content(path, "key") if path else load_settings().receipts.key
    if pem is None:
        raise ConfigurationError(
            "There is no key to check it with: `--key PUBLIC.pem`, or SAM3D_RECEIPT_KEY as it was signed with."
        )
    found = public_key_of(pem)
    if found is None:
        raise InvalidMessage("key", "`--key` must be an Ed25519 key in PEM: openssl pkey -in KEY.pem -pubout.")
    return found


def _why_another(document: Mapping[str, Any], job_id: str | None) -> str | None:
    return f"it is of job {_id_of(document)}" if job_id and _id_of(document) != job_id else None


def _id_of(document: Mapping[str, Any]) -> object:
    job = document.get("job")
    return job.get("id") if isinstance(job, dict) else None


def _beside(folder: Path, told: Mapping[str, Any]) -> Mapping[str, str]:
    """Compare the file of an output, if it is in this folder, with what a genuine receipt says of it."""
    path = folder / told["name"]
    if not can_be_named(told["name"]) or not path.is_file():
        return {"name": told["name"], "is": ABSENT}
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {"name": told["name"], "is": SAME if digest == told["sha256"] else DIFFERS}
