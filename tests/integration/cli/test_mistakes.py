"""A user's mistake is one line with its fix and a documented exit code, never a traceback."""

import json
from pathlib import Path

import pytest

from tests.support.services.zygote import Zygote
from worker.database.schema import revisions, upgrade
from worker.rules.job import MAX_IMAGE_BYTES

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "sentence"),
    [
        (["config"], {"SAM3D_SUBMIT_DEADLINE": "soon"}, 3, "SAM3D_SUBMIT_DEADLINE: must be a number of seconds"),
        (["config"], {"SEGMIND_BASE_URL": "api.segmind.com"}, 3, "SEGMIND_BASE_URL: must be an http(s) URL"),
        (["config"], {"SAM3D_STORE_URL": "models"}, 3, "SAM3D_STORE_URL: must be a URL that begins"),
        (["config"], {"SAM3D_BROKER_URL": "redis://127.0.0.1"}, 3, "SAM3D_BROKER_URL must be a URL that begins with"),
        (["config"], {"SAM3D_DATABASE_URL": "sqlite:///x"}, 3, "SAM3D_DATABASE_URL must be a URL that begins with"),
        (["jobs"], {"SAM3D_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, 3, "The database refuses"),
        (["submit", "worker/photos/cat.png"], {"SAM3D_BROKER_URL": "amqp://127.0.0.1:1//"}, 3, "The broker can't be"),
        (["job", "seventeen"], {}, 2, "`ID` must be a UUID"),
        (["output", "seventeen"], {}, 2, "`ID` must be a UUID"),
        (["submit", "worker/photos/cat.png", "--metadata", "{"], {}, 2, "`--metadata` is not JSON."),
        (["submit", "worker/photos/cat.png", "--preview"], {}, 2, "`--preview` needs `--out`"),
        (["demo", "no-such.png"], {}, 2, "`no-such.png` can't be read: No such file or directory."),
        (["demo", "--live"], {}, 3, "--live needs SEGMIND_API_KEY"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], environment: dict[str, str], code: int, sentence: str, zygote: Zygote
) -> None:
    """It names what is wrong and what to do."""
    done = zygote.run(*arguments, **environment)
    lines = [line for line in done.stderr.splitlines() if line.startswith("sam3d: ")]
    assert (done.returncode, done.stdout) == (code, "")
    assert len(lines) == 1
    assert lines[0].startswith(f"sam3d: {sentence}")
    assert "Traceback" not in done.stderr


def test_a_mistake_of_a_service_is_one_line_of_its_log(zygote: Zygote) -> None:
    """As JSON, like all that it writes."""
    done = zygote.run("worker", "--steps", "dance")
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(line)["reason"] == "`--steps` has no dance; choose from accept, submit, poll, fetch."


def test_what_is_not_there_is_told(database_url: str, tmp_path: Path, zygote: Zygote) -> None:
    """A job that nobody sent, and the schema that nobody made."""
    settings = {"SAM3D_DATABASE_URL": database_url}
    for command in (["jobs"], ["worker"], ["scheduler"]):
        done = zygote.run(*command, **settings)
        assert done.returncode == 3
        assert "run `sam3d db upgrade`" in done.stderr
    upgrade(database_url)
    for command in (["job", NOWHERE], ["cancel", NOWHERE], ["output", NOWHERE, "--out", str(tmp_path)]):
        done = zygote.run(*command, **settings)
        assert (done.returncode, done.stderr.startswith("sam3d: ")) == (1, True)
    assert zygote.run("jobs", **settings).stderr == "no jobs\n"
    assert zygote.run("review", **settings).stderr == "no jobs in review\n"
    assert json.loads(zygote.run("jobs", "--json", **settings).stdout) == []
    assert json.loads(zygote.run("db", "current", "--json", **settings).stdout) == {
        "database": revisions()[0],
        "needed": revisions()[0],
    }


def test_a_url_from_a_file_is_shown_with_its_source(zygote: Zygote, tmp_path: Path) -> None:
    """So that nobody looks for it in the environment; its password stays there."""
    file = tmp_path / "url"
    file.write_text("amqps://shop:pa55word@rabbit.example/models")
    done = zygote.run("config", "--json", SAM3D_BROKER_URL_FILE=str(file))
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    shown = rows["SAM3D_BROKER_URL"]
    assert shown["value"] == "amqps://shop:…@rabbit.example/models"
    assert shown["source"] == "the file in SAM3D_BROKER_URL_FILE"
    assert rows["SAM3D_BROKER_URL_FILE"]["value"] == str(file)
    assert rows["SAM3D_DATABASE_URL"]["source"] == "default"
    assert "pa55word" not in done.stdout + done.stderr


def test_settings_are_shown_without_secrets(zygote: Zygote) -> None:
    """Only that they are set; and a name that is no setting is told."""
    url = "amqp://shop:pa55word@rabbit.example:5671/models"
    done = zygote.run(
        "config", "--json", SEGMIND_API_KEY="SG_0123456789abcdef", SAM3D_BROKER_URL=url, SAM3D_BROKERURL="amqp://oops"
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["SEGMIND_API_KEY"]["value"] == "set"
    assert rows["SAM3D_BROKER_URL"]["value"] == "amqp://shop:…@rabbit.example:5671/models"
    assert rows["SAM3D_BROKERURL"]["source"] == "not a setting"
    seen = zygote.run("config", SAM3D_BROKER_URL=url, SAM3D_BROKERURL="amqp://oops").stdout.splitlines()
    lines = {line.split()[0]: line.split()[1:] for line in seen}
    assert lines["SAM3D_BROKER_URL"] == ["amqp://shop:…@rabbit.example:5671/models", "(environment)"]
    assert lines["SAM3D_BROKERURL"] == ["-", "(not", "a", "setting)"]
    assert lines["SAM3D_SWEEP_INTERVAL"] == ["15"]
    assert "0123456789abcdef" not in done.stdout + done.stderr
    assert "pa55word" not in done.stdout + done.stderr


def test_a_photo_that_is_sent_otherwise_is_told(tmp_path: Path, zygote: Zygote) -> None:
    """Before anything is sent, where people read and programs do not."""
    photo = tmp_path / "large.png"
    photo.write_bytes(Path("worker/photos/cat.png").read_bytes().ljust(MAX_IMAGE_BYTES + 1, b"\0"))
    done = zygote.run("submit", str(photo), "--json", SAM3D_BROKER_URL="amqp://127.0.0.1:1//")
    word, sentence = done.stderr.splitlines()
    assert word.startswith(f"{photo}: `image` was 10.0 MiB; it is sent as a JPEG of ")
    assert (sentence.startswith("sam3d: The broker can't be"), done.stdout) == (True, "")
