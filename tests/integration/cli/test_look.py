"""What a person sees of jobs: lists that fit a terminal, a job from what is asked first, why there are no files."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.support.in_process import PHOTO
from tests.support.services.zygote import Zygote, inherited
from tests.support.waiting import wait_until
from worker.app import App
from worker.cli import wait
from worker.database.engine import create_database_engine, transaction
from worker.intake.accept import accept
from worker.intake.prepare import prepare_request
from worker.intake.request import derived_job_id
from worker.rules.lifecycle import FollowUp, JobState
from worker.work.executor import execute

NOWHERE = "00000000-0000-4000-8000-000000000000"
WAITS = "the account is held (operator, credits), since 2026-11-22 22:46:46 UTC"

Sam3d = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sam3d(app: App, environment: Mapping[str, str], zygote: Zygote) -> Sam3d:
    """Provide the command line on the database of the app."""
    return lambda *arguments: zygote.run(*arguments, **environment)


@pytest.fixture
def environment(app: App) -> Mapping[str, str]:
    """Provide the settings of a person who has the database alone."""
    return {"SAM3D_DATABASE_URL": app.services.settings.database.url, "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//"}


def set_all(app: App, assignments: str, **values: object) -> None:
    """Write into the rows of all jobs."""
    with transaction(app.services.engine) as connection:
        connection.execute(text(f"UPDATE jobs SET {assignments}"), values)


def ask(app: App, query: str, **values: object) -> Any:
    """Ask the database for a value, in a transaction of its own."""
    with transaction(app.services.engine) as connection:
        return connection.execute(text(query), values).scalar()


def fits(printed: str) -> bool:
    """Tell whether what was printed fits a terminal of the usual width."""
    return max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize("state", JobState)
def test_jobs_are_listed_within_80_columns(app: App, accepted_job: FollowUp, sam3d: Sam3d, state: JobState) -> None:
    """Whatever they wait for or failed of: each word is whole, and an id can be copied."""
    set_all(app, f"state = '{state}', shares = id, request_id = 'r', error_code = 'remote_rate_limited'")
    set_all(app, "waits_for = :why, accepted_at = accepted_at - interval '2 days 3 hours'", why=WAITS)
    if state.is_final:
        set_all(app, "finished_at = sam3d_now()")
    printed = sam3d("jobs").stdout
    assert fits(printed)
    assert printed.splitlines()[0].split() == ["id", "state", "age", "why"]
    assert printed.splitlines()[1].split()[:6] == [accepted_job.ticket.job_id, state, "2", "d", "3", "h"]
    begins = printed.index("why")
    words = [line[begins:].strip() for line in printed.splitlines()[1:]]
    assert " ".join(words) == WAITS
    set_all(app, "waits_for = NULL")
    assert sam3d("jobs").stdout.split()[-1] == "remote_rate_limited"


def test_jobs_in_review_are_listed_within_80_columns(app: App, accepted_job: FollowUp, sam3d: Sam3d) -> None:
    """An id of ours, one of the vendor's and a sentence do not fit beside each other: one below the other they do."""
    sentence = "Nobody can tell whether the vendor started a run: the connection was reset, and there is no history."
    run = str(uuid4())
    set_all(app, "state = 'review', error_code = 'submit_unknown', request_id = :run, error_message = :why",
            run=run, why=sentence)  # fmt: skip
    printed = sam3d("review").stdout
    assert fits(printed)
    assert all(each in printed for each in (accepted_job.ticket.job_id, run, "submit_unknown"))
    assert sentence in " ".join(printed.split())


def test_an_empty_list_says_so(sam3d: Sam3d) -> None:
    """Beside the data, which is an empty list."""
    for command in (["jobs"], ["jobs", "--state", "failed"], ["review"], ["review", "--all", "--fail", "--yes"]):
        done = sam3d(*command)
        assert (done.returncode, done.stdout, done.stderr.splitlines()[0].split()[0]) == (0, "", "no")
        assert json.loads(sam3d(*command, "--json").stdout) == []


def names(printed: str) -> list[str]:
    """Return the names of the values that a job begins with."""
    return [line[:19].strip() for line in printed.partition("\n\n")[0].splitlines() if line[:1] != " "]


def test_a_job_begins_with_what_a_person_asks(app: App, accepted_job: FollowUp, sam3d: Sam3d) -> None:
    """Its photo, how it stands and for how long, why it waits; not with how it is worked on."""
    set_all(app, "waits_for = :why, accepted_at = accepted_at - interval '26 hours'", why=WAITS)
    job_id = accepted_job.ticket.job_id
    printed = sam3d("job", job_id).stdout
    assert fits(printed)
    assert names(printed) == ["id", "photo", "state", "accepted at", "age", "waits for"]
    shown = {line[:19].strip(): line[20:] for line in printed.splitlines()}
    assert shown["photo"] == f"image/png, {PHOTO.stat().st_size / 1000:.3g} KB"
    assert (shown["state"], shown["age"]) == ("accepted", "1 d 2 h")
    internals = {"version", "due at", "account"}
    assert not internals & set(shown)
    verbose = sam3d("job", job_id, "--verbose").stdout
    assert internals <= {line[:19].strip() for line in verbose.partition("\ninternals\n")[2].splitlines()}
    assert names(verbose) == names(printed)


def test_a_job_that_ended_says_how_long_it_took_and_what_it_cost(
    app: App, completed_job: FollowUp, sam3d: Sam3d
) -> None:
    """And a failed one why."""
    advance_to_the_end(app, completed_job)
    set_all(app, "finished_at = accepted_at + interval '95 seconds', cost = 0.06")
    job_id = completed_job.ticket.job_id
    shown = {line[:19].strip(): line[20:] for line in sam3d("job", job_id).stdout.splitlines()}
    assert (shown["state"], shown["took"], shown["cost"]) == ("succeeded", "1 min 35 s", "0.06 USD")
    set_all(app, "state = 'failed', error_code = 'remote_failed', error_message = 'The run failed.'")
    assert "error               The run failed. (remote_failed)" in sam3d("job", job_id).stdout.splitlines()


def test_a_photo_at_an_address_is_told_by_its_host(app: App, sam3d: Sam3d) -> None:
    """Whoever knows the rest of the address may read it."""
    url = "https://photos.example.com/cat.png?signature=s3cret"
    accepted = accept(app.services, prepare_request(url), derived_job_id("test", uuid4().hex))
    assert accepted
    printed = "".join(sam3d("job", accepted.ticket.job_id, *more).stdout for more in ([], ["-v"], ["--json"]))
    assert "photo               at photos.example.com" in printed
    assert "s3cret" not in printed


def advance_to_the_end(app: App, follow_up: FollowUp) -> None:
    """Do a job's last step."""
    execute(app.services, follow_up.step, follow_up.ticket)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("accepted", "is accepted, so its files are not there yet; `sam3d wait {id} --out FOLDER` waits for them."),
        ("processing", "is processing, so its files are not there yet; `sam3d wait {id} --out FOLDER` waits for them."),
        ("review", "has no files: a person must decide what becomes of it; see `sam3d review`."),
        ("failed", "failed, so there are no files (remote_failed): The run {{failed}}."),
        ("cancelled", "was cancelled, so there are no files."),
        ("succeeded", "succeeded, and its files are not kept any more."),
    ],
)
def test_output_says_why_there_is_none(
    app: App, accepted_job: FollowUp, sam3d: Sam3d, tmp_path: Path, state: str, sentence: str
) -> None:
    """In words of its own for each, and makes no folder."""
    set_all(app, f"state = '{state}', request_id = 'r', error_code = 'remote_failed'")
    set_all(app, "error_message = 'The run {failed}.'")
    job_id = accepted_job.ticket.job_id
    done = sam3d("output", job_id, "--out", str(tmp_path / "new"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sam3d: Job {job_id} {sentence.format(id=job_id)}\n"
    assert not (tmp_path / "new").exists()


def test_output_names_the_files_that_there_are(app: App, completed_job: FollowUp, sam3d: Sam3d, tmp_path: Path) -> None:
    """Where another one is asked for; and who asks for a job that is not there is told that."""
    advance_to_the_end(app, completed_job)
    job_id = completed_job.ticket.job_id
    done = sam3d("output", job_id, "--name", "model.obj")
    assert (done.returncode, done.stderr) == (1, f"sam3d: Job {job_id} has no such file; it has model.glb.\n")
    assert sam3d("output", NOWHERE).stderr == f"sam3d: There is no job {NOWHERE}; see `sam3d jobs`.\n"
    assert sam3d("output", job_id, "--out", str(tmp_path)).stdout == f"{tmp_path}/model.glb\n"


def test_a_job_is_waited_for(
    app: App, completed_job: FollowUp, zygote: Zygote, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """By whoever has its id: until it ends, and its files are written."""
    printed, errors = tmp_path / "printed", tmp_path / "errors"
    arguments = ["wait", completed_job.ticket.job_id, "--out", str(tmp_path / "out")]
    begun = ask(app, "SELECT clock_timestamp()")
    waiting = zygote.start(arguments, {**inherited(), **environment}, printed, errors)
    looks = "SELECT count(*) FROM pg_stat_activity WHERE backend_start > :begun AND query = 'COMMIT'"
    wait_until(lambda: ask(app, looks, begun=begun) or waiting.poll() is not None, "it looks")
    assert waiting.poll() is None, errors.read_text()
    advance_to_the_end(app, completed_job)
    assert waiting.wait() == 0, errors.read_text()
    assert printed.read_text() == f"{completed_job.ticket.job_id} succeeded {tmp_path}/out/model.glb\n"
    assert (tmp_path / "out" / "model.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize(
    ("state", "code", "told"),
    [
        ("processing", 4, None),
        ("review", 4, None),
        ("failed", 1, {"state": "failed", "error": {"code": "remote_failed", "message": "The run failed."}}),
        ("cancelled", 1, {"state": "cancelled"}),
        ("succeeded", 0, {"state": "succeeded"}),
    ],
)
def test_its_exit_code_says_how_it_ended(
    app: App, accepted_job: FollowUp, sam3d: Sam3d, state: str, code: int, told: Mapping[str, object] | None
) -> None:
    """The same as of `submit --wait`: what is not over in time goes on."""
    error = "'remote_failed', error_message = 'The run failed.'" if state == "failed" else "NULL"
    set_all(app, f"state = '{state}', request_id = 'r', error_code = {error}")
    done = sam3d("wait", accepted_job.ticket.job_id, "--timeout", "0", "--json")
    rows = [{"job_id": accepted_job.ticket.job_id, **told, "files": []}] if told else []
    assert (done.returncode, json.loads(done.stdout)) == (code, rows)
    assert ("1 of 1 jobs had no outcome in time; they go on." in done.stderr) == (code == 4)


def test_a_request_that_became_another_job_is_followed(app: App, completed_job: FollowUp, sam3d: Sam3d) -> None:
    """Who sent it has an id that is no job's; who was refused is told why, and who has a wrong id that it is none."""
    advance_to_the_end(app, completed_job)
    told = {
        "another": {"duplicate_of": completed_job.ticket.job_id},
        "refused": {"error": {"code": "conflict", "message": "No."}},
    }
    ids = {name: str(uuid4()) for name in (*told, "unknown")}
    with transaction(app.services.engine) as connection:
        query = text("INSERT INTO events (id, job_id, type, payload) VALUES (gen_random_uuid(), :id, 'x', :payload)")
        for name, payload in told.items():
            connection.execute(query, {"id": ids[name], "payload": json.dumps(payload)})
    done = sam3d("wait", *ids.values(), "--timeout", "0")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{completed_job.ticket.job_id} succeeded",
        f"{ids['refused']} refused No.",
        f"{ids['unknown']} unknown There is no such job; see `sam3d jobs`.",
    ]


def test_a_database_that_is_away_ends_no_wait() -> None:
    """It comes back; nobody takes a job that can't be looked at for one that is over, or not there."""
    away = create_database_engine("postgresql+psycopg://127.0.0.1:1/x", 1)
    assert wait._look(away, NOWHERE, is_late=True) == {"state": "the database does not answer", "is_over": False}


def test_a_wrong_id_is_a_mistake(sam3d: Sam3d) -> None:
    """Before anything is waited for."""
    done = sam3d("wait", NOWHERE, "seventeen")
    assert (done.returncode, bool(re.match("sam3d: `ID` must be a UUID", done.stderr))) == (2, True)


SAID = {"said_by": "result", "is_cut": True, "body": {
    "status": "COMPLETED", "output": "https://files.example/m.glb?sig=m4rk3r", "note": "of a red cup with a handle",
    "deep": [{"pose": [1.5, 2]}], "odd": "\x1b[31m\u202e",
}}  # fmt: skip


def test_what_the_vendor_said_is_shown_without_what_it_quotes(app: App, accepted_job: FollowUp, sam3d: Sam3d) -> None:
    """Word for word where a person looks for it, and not before; no address, no prompt, nothing that steers."""
    set_all(app, "result = :said, parameters = :sent", said=json.dumps(SAID),
            sent=json.dumps({"prompt": "a red cup with a handle"}))  # fmt: skip
    brief, verbose, data = (sam3d("job", accepted_job.ticket.job_id, *more).stdout for more in ([], ["-v"], ["--json"]))
    assert "COMPLETED" not in brief
    said = json.loads(data)["result"]
    assert said["body"] == {
        "status": "COMPLETED", "output": "…", "note": "of …", "deep": [{"pose": [1.5, 2]}], "odd": "[31m",
    }  # fmt: skip
    assert (
        json.loads(verbose.partition("result, as the vendor gave it, cut\n")[2].partition("\n}\n")[0] + "}")
        == said["body"]
    )
    listed = sam3d("jobs", "--json").stdout
    assert not [
        secret for secret in ("m4rk3r", "red cup", "files.example") if secret in brief + verbose + data + listed
    ]
