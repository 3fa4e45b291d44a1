"""`sam3d receipt`: a job's receipt, and whether one that somebody has is what it says, with nothing but its key."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from tests.support.in_process import wait_until_due
from tests.support.receipt_keys import make_key, public_of
from tests.support.requests import rows
from tests.support.services.zygote import Zygote
from worker.app import App
from worker.database import outbox
from worker.database.engine import transaction
from worker.outputs.sealing import Seal, fingerprint, public_key_of
from worker.rules.lifecycle import EventType, FollowUp
from worker.rules.receipt import FORMAT, written
from worker.work.executor import execute
from worker.work.receipts import Receipts

KEY, OTHER = make_key(), make_key()
NOWHERE = {"SAM3D_DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/x", "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//"}
Sam3d = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sam3d(app: App, zygote: Zygote) -> Sam3d:
    """Provide the command line on the database of the app, with more settings where they are given."""
    url = app.services.settings.database.url
    return lambda *arguments, **more: zygote.run(*arguments, **{**NOWHERE, "SAM3D_DATABASE_URL": url, **more})


@pytest.fixture
def ended(app: App, completed_job: FollowUp) -> str:
    """Provide the id of a job that has succeeded, without a receipt beside its model."""
    wait_until_due(app, completed_job)
    execute(app.services, completed_job.step, completed_job.ticket)
    return completed_job.ticket.job_id


def test_a_receipt_is_made_of_the_rows_where_none_is_kept(sam3d: Sam3d, ended: str) -> None:
    """Signed where a key is set, else not; the same each time; nothing is written."""
    plain, signed = sam3d("receipt", ended), sam3d("receipt", ended, SAM3D_RECEIPT_KEY=KEY)
    said = json.loads(plain.stdout)
    assert (plain.returncode, said["job"]["id"], "signature" in said) == (0, ended, False)
    assert json.loads(signed.stdout)["signature"]["key"] == fingerprint(public_key_of(KEY.encode()))
    assert sam3d("receipt", ended, SAM3D_RECEIPT_KEY=KEY, TZ="Asia/Tokyo").stdout == signed.stdout
    assert [each["name"] for each in json.loads(sam3d("job", ended, "--json").stdout)["outputs"]] == ["model.glb"]


def test_one_that_is_kept_comes_out_by_every_way(app: App, sam3d: Sam3d, ended: str, tmp_path: Path) -> None:
    """As it is in its store; beside the model, where it finds itself to be that of the model."""
    with_key = {"SAM3D_RECEIPT_KEY": KEY, "SAM3D_PUBLIC_URL": "https://files.example", "SAM3D_LINK_KEY": "k" * 32}
    told_again(app, ended)
    printed = sam3d("receipt", ended).stdout
    assert sam3d("output", ended, "--out", str(tmp_path)).stdout.splitlines() == [
        f"{tmp_path}/model.glb", f"{tmp_path}/receipt.json",
    ]  # fmt: skip
    assert (tmp_path / "receipt.json").read_text() == printed
    links = json.loads(sam3d("link", ended, "--json", **with_key).stdout)
    assert [each["name"] for each in links] == ["model.glb", "receipt.json"]
    checked = sam3d("receipt", ended, "--verify", str(tmp_path / "receipt.json"), **{**with_key, **NOWHERE})
    assert (checked.returncode, "model.glb  as the receipt says" in checked.stdout) == (0, True), checked.stderr


def told_again(app: App, job_id: str) -> None:
    """Have a service with a key answer how the job stands."""
    services = app.services
    settings = services.settings.having(SAM3D_RECEIPT_KEY=SecretStr(KEY))
    services.post.receipts = Receipts(settings.receipts, services.engine, services.stores)
    with transaction(services.engine) as connection:
        event = outbox.newest(connection, job_id, EventType.SUCCEEDED)
    assert event
    services.post.tell(event)


def test_there_is_none_of_a_job_that_goes_on(sam3d: Sam3d, submitted_job: FollowUp) -> None:
    """What it would say is not over; nor of a job that is not there, and nobody guesses which one is meant."""
    job_id, nobody = submitted_job.ticket.job_id, str(uuid4())
    for arguments, code, said in (
        ([job_id], 1, f"Job {job_id} is processing: it has a receipt once it is over."),
        ([nobody], 1, f"There is no job {nobody}; see `sam3d jobs`."),
        (["seventeen"], 2, "`ID` must be a UUID, as `sam3d jobs` shows it."),
        ([], 2, "Give the ID of a job, or `--verify FILE`."),
    ):
        done = sam3d("receipt", *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", f"sam3d: {said}\n")


def test_a_file_that_is_not_what_was_stored_is_not_shown(app: App, sam3d: Sam3d, ended: str) -> None:
    """Whoever changed it in its store."""
    told_again(app, ended)
    rows(app, "UPDATE blob_chunks SET content = content || 'x' WHERE content LIKE '{%' RETURNING position")
    done = sam3d("receipt", ended)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not what was stored" in done.stderr


# One that somebody has: no database, no broker, no network.

JOB_ID = "0dec40d4-cab8-4d78-8019-9bb80d2d8e44"
MODEL = b"glTF of a cup"
RECEIPT: dict[str, Any] = {
    "format": FORMAT,
    "service": {"name": "sam3d-worker", "version": "0.1.0"},
    "job": {"id": JOB_ID, "state": "succeeded"},
    "inputs": [],
    "outputs": [
        {"name": "model.glb", "bytes": 13, "sha256": hashlib.sha256(MODEL).hexdigest()},
        {"name": "artifacts.zip", "bytes": 3, "sha256": "ab" * 32},
    ],
    "cost": {"amount": 0.06, "currency": "USD"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Provide a model with its receipt, and the keys that it may be checked with."""
    (tmp_path / "model.glb").write_bytes(MODEL)
    (tmp_path / "receipt.json").write_bytes(written(Seal(KEY.encode()).signed(RECEIPT)))
    for name, key in (("public.pem", KEY), ("other.pem", OTHER)):
        (tmp_path / name).write_text(public_of(key))
    return tmp_path


@pytest.fixture
def verify(folder: Path, zygote: Zygote) -> Sam3d:
    """Provide the check of that receipt, by whoever has nothing else."""

    def checked(*more: str, key: str = "public.pem", **environment: str) -> Any:
        given = ["--key", str(folder / key)] if key else []
        return zygote.run("receipt", "--verify", str(folder / "receipt.json"), *given, *more, **NOWHERE, **environment)

    return checked


def test_a_receipt_is_checked_with_its_key_alone(folder: Path, verify: Sam3d) -> None:
    """It is said whose it is, by which key, and which of its files are beside it."""
    done = verify()
    assert (done.returncode, done.stderr) == (0, "")
    own = fingerprint(public_key_of(KEY.encode()))
    assert done.stdout.splitlines()[0] == (
        f"{folder}/receipt.json: the receipt of job {JOB_ID}, as it was signed with key {own}"
    )
    assert [line.split() for line in done.stdout.splitlines()[2:]] == [
        ["model.glb", "as", "the", "receipt", "says"],
        ["artifacts.zip", "not", "beside", "it"],
    ]
    assert json.loads(verify("--json").stdout) == {
        "job_id": JOB_ID, "is_genuine": True, "key": own, "why_not": None,
        "files": [
            {"name": "model.glb", "is": "as the receipt says"}, {"name": "artifacts.zip", "is": "not beside it"},
        ],
    }  # fmt: skip
    for more in ({"SAM3D_RECEIPT_KEY": KEY}, {"SAM3D_RECEIPT_KEY_FILE": str(folder / "private.pem")}):
        (folder / "private.pem").write_text(KEY)
        assert verify(JOB_ID, key="", **more).returncode == 0


def change(folder: Path, **fields: object) -> None:
    """Write a receipt that was changed after it was signed."""
    signed = json.loads((folder / "receipt.json").read_text())
    (folder / "receipt.json").write_text(json.dumps({**signed, **fields}))


@pytest.mark.parametrize("name", [*(name for name in RECEIPT if name != "format"), "more"])
def test_whatever_is_changed_is_found_and_named(folder: Path, verify: Sam3d, name: str) -> None:
    """Each field, and one that was put in."""
    change(folder, **{name: {"id": "x"}})
    done = verify()
    said = f"sam3d: {folder}/receipt.json is not genuine: it was changed after it was signed: {name}.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    told = json.loads(verify("--json").stdout)
    assert (told["is_genuine"], told["files"]) == (False, [])


def test_a_model_that_is_another_is_found(folder: Path, verify: Sam3d) -> None:
    """By its SHA-256; the receipt is genuine all the same."""
    (folder / "model.glb").write_bytes(MODEL + b"!")
    done = verify("--json")
    assert (done.returncode, json.loads(done.stdout)["is_genuine"]) == (1, True)
    assert done.stderr == (
        f"sam3d: model.glb beside {folder}/receipt.json is not what the receipt tells of: its SHA-256 differs.\n"
    )
    assert "not what the receipt says" in verify().stdout


UNSIGNED = json.dumps(RECEIPT)


@pytest.mark.parametrize(
    ("more", "options", "code", "said"),
    [
        ({"key": "other.pem"}, [], 1, "is not genuine: it was signed with another key than"),
        ({}, [str(uuid4())], 1, f"is not genuine: it is of job {JOB_ID}."),
        ({"text": UNSIGNED}, [], 1, "is not genuine: it is not signed."),
        ({"text": "m4rk3r"}, [], 2, "is no receipt: it is no JSON."),
        ({"text": '{"format": "other"}'}, [], 2, f"is no receipt: its format is not {FORMAT}."),
        ({"text": None}, [], 2, "`--verify` can't be read:"),
        ({"key": "nobody.pem"}, [], 2, "`--key` can't be read:"),
        ({"key": "model.glb"}, [], 2, "`--key` must be an Ed25519 key in PEM"),
        ({"key": ""}, [], 3, "There is no key to check it with: `--key PUBLIC.pem`, or SAM3D_RECEIPT_KEY"),
        ({"key": "", "SAM3D_RECEIPT_KEY": "m4rk3r"}, [], 3, "SAM3D_RECEIPT_KEY: must be an Ed25519 private key in PEM"),
        ({"key": "", "SAM3D_RECEIPT_KEY": OTHER}, [], 1, "it was signed with another key than"),
    ],
    ids=["key", "job", "unsigned", "no JSON", "no receipt", "no file", "no key file", "no key in it", "no key",
         "a wrong key", "another key"],
)  # fmt: skip
def test_what_is_wrong_is_said(
    folder: Path, verify: Sam3d, more: Mapping[str, str | None], options: list[str], code: int, said: str
) -> None:
    """In one line, with the exit codes of all commands; nothing of a key is told."""
    if "text" in more:
        text = more["text"]
        (folder / "receipt.json").write_text(text) if text else (folder / "receipt.json").unlink()
    done = verify(*options, **{name: each for name, each in more.items() if name != "text"})
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)
    assert said in done.stderr
    assert "m4rk3r" not in done.stderr


def test_a_path_in_a_name_leads_nowhere(folder: Path, verify: Sam3d) -> None:
    """Nothing but what lies beside a receipt is looked at, whoever has signed it."""
    (folder / "aside").mkdir()
    (folder / "receipt.json").write_bytes(
        written(
            Seal(KEY.encode()).signed(
                {**RECEIPT, "outputs": [{"name": "../aside", "sha256": "x"}, {"name": "/etc/passwd"}]}
            )
        )
    )
    assert [each["is"] for each in json.loads(verify("--json").stdout)["files"]] == ["not beside it"] * 2


WITHOUT = """
import sys
sys.modules[{module!r}] = None
from worker.cli.main import main
sys.argv = ["sam3d", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("module", ["cryptography", "rfc8785"])
def test_who_lacks_the_extra_is_told_what_to_install(folder: Path, module: str) -> None:
    """Before anything is said of the receipt."""
    arguments = ["receipt", "--verify", str(folder / "receipt.json"), "--key", str(folder / "public.pem")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module=module), *arguments],
        env={**os.environ, **NOWHERE}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "sam3d: Signed receipts need an extra: pip install 'sam3d-worker[receipt]'.\n"


@pytest.mark.parametrize("command", ["worker", "scheduler"])
def test_a_service_with_a_key_and_without_the_extra_does_not_start(command: str) -> None:
    """Nobody finds out with the first job."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module="cryptography"), command],
        env={**os.environ, **NOWHERE, "SAM3D_RECEIPT_KEY": KEY},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, "pip install 'sam3d-worker[receipt]'" in done.stderr) == (3, True)
