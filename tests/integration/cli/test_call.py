"""``sam3d call``: a photo in, a model out, a run paid once at most; whatever goes wrong says what to do now."""

import gc
import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from worker.cli.main import main
from worker.outputs import gathering
from worker.simulator import Simulator, SimulatorSettings
from worker.vendor import following
from worker.vendor.api import Vendor

PHOTO = str(Path("worker/photos/cat.png").absolute())
KEY = "SG_0123456789abcdef"
RUN_SECONDS = 30.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: object
    printed: str
    said: str

    @property
    def made(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.printed)


class Waits:
    """A command's waits: each is noted, and passes on the simulator's clock at once."""

    def __init__(self, simulator: Simulator) -> None:
        self.delays: list[float] = []
        self.is_interrupted = False
        self._simulator = simulator

    def sleep(self, seconds: float) -> None:
        """Let the time pass, unless a person has had enough."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.delays.append(seconds)
        self._simulator.advance(timedelta(seconds=seconds))

    def now(self) -> timedelta:
        """Return the time of the command's own clock."""
        return timedelta(seconds=time.monotonic() + sum(self.delays))


class Command:
    """``sam3d call`` in this process, in a folder of its own, as from a script: nobody can be asked."""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *arguments: str) -> Ended:
        """Run it to its end."""
        self._capsys.readouterr()
        self._patch.setattr(sys, "argv", ["sam3d", "call", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed, said = self._capsys.readouterr()
        assert [secret for secret in (KEY, "m4rk3r", "/outputs/", "Traceback") if secret in printed + said] == []
        return Ended(ended.value.code, printed, said)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Provide a vendor whose runs take half a minute of its own clock."""
    with Simulator(SimulatorSettings.model_validate({"run_time": RUN_SECONDS})) as simulated:
        yield simulated


@pytest.fixture
def waits(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Waits:
    """Provide what became of the command's waits."""
    waits = Waits(simulator)
    monkeypatch.setattr(time, "sleep", waits.sleep)
    monkeypatch.setattr(following, "_now", waits.now)
    return waits


@pytest.fixture
def environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what a person sets: the key; the simulator is the vendor."""
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    for name in ("SEGMIND_BASE_URL", "SEGMIND_ACCOUNT_URL", "SAM3D_OUTPUT_HOSTS"):
        monkeypatch.setenv(name, simulator.url)


@pytest.fixture
def call(
    waits: Waits,
    environment: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Command]:
    """Provide the command."""
    monkeypatch.chdir(tmp_path)
    threshold = gc.get_threshold()
    yield Command(monkeypatch, capsys)
    gc.set_threshold(*threshold)


def counted(simulator: Simulator, call: str) -> int:
    """Return how many calls of a kind there were."""
    return sum(simulator.requests()["calls"].get(call, {}).values())


def started(simulator: Simulator) -> str:
    """Return the id of the one run that was started."""
    [run] = simulator.ledger()
    return str(run["request_id"])


# What goes well.


def test_submit_look_download(call: Command, simulator: Simulator, waits: Waits, tmp_path: Path) -> None:
    """The model is there whole, looked for by the plan that counts before a run was seen; what it cost is told."""
    ended = call(PHOTO, "--yes", "--json")
    assert ended.code == 0
    assert waits.delays == [24, 5, 4]
    assert (counted(simulator, "submit"), counted(simulator, "status"), counted(simulator, "result")) == (1, 3, 1)
    [file] = ended.made["files"]
    model = (tmp_path / "cat.glb").read_bytes()
    assert model[:4] == b"glTF"
    assert file == {
        "path": "cat.glb",
        "media_type": "model/gltf-binary",
        "bytes": len(model),
        "sha256": hashlib.sha256(model).hexdigest(),
    }
    assert (ended.made["request_id"], ended.made["cost"]) == (started(simulator), 0.06)
    assert ended.made["credits_left"] == ended.made["metrics"]["remaining_credits"] == pytest.approx(99.94)


def test_what_a_person_sees(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """The file, how large it is, its fingerprint, what it cost, and the run's id as soon as there is one."""
    ended = call(PHOTO, "--yes")
    for word in ("cat.glb", hashlib.sha256((tmp_path / "cat.glb").read_bytes()).hexdigest(), "0.06 USD", "KB"):
        assert word in ended.printed
    assert f"started run {started(simulator)}" in ended.said


def test_the_blocking_call(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """Its answer goes through the same check; what it cost it does not tell, and that is said."""
    simulator.update(run_time=0)
    ended = call(PHOTO, "--yes", "--api", "v1", "--json")
    assert ended.code == 0
    assert (counted(simulator, "blocking"), counted(simulator, "submit")) == (1, 0)
    assert (ended.made["cost"], ended.made["request_id"]) == (None, None)
    assert ended.made["files"][0]["sha256"] == hashlib.sha256((tmp_path / "cat.glb").read_bytes()).hexdigest()
    assert "not told" in call(PHOTO, "--yes", "--api", "v1").printed


def test_artifacts_are_beside_the_model(call: Command, tmp_path: Path) -> None:
    """Under its name."""
    ended = call(PHOTO, "--yes", "--artifacts", "--json", "--out", "models/cup.glb")
    assert [file["path"] for file in ended.made["files"]] == ["models/cup.glb", "models/cup-artifacts.zip"]
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"cup.glb", "cup-artifacts.zip"}


def test_artifacts_that_do_not_arrive_cost_no_model(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """The model is kept; what is missing is said, and how it is had."""
    simulator.add_fault(call="download", kind="bad_zip", skip=1)
    ended = call(PHOTO, "--yes", "--artifacts")
    assert ended.code == 0
    assert "is missing: The ZIP " in ended.said
    assert f"sam3d call --resume {started(simulator)}" in ended.said
    assert [path.name for path in tmp_path.iterdir()] == ["cat.glb"]


@pytest.mark.parametrize("api", ["v2", "v1"])
def test_parameters_are_sent(call: Command, simulator: Simulator, api: str) -> None:
    """As of a job: the vendor gets what the options say."""
    simulator.update(run_time=0)
    name = "submit" if api == "v2" else "blocking"
    simulator.add_fault(call=name, kind="fail_job", prompt="m4rk3r", seed=7, message="no m4rk3r in it")
    options = ("--prompt", "m4rk3r", "--seed", "7", "--box", "1,2,30,40", "--points", "5,6;7,8", "--mask", PHOTO)
    ended = call(PHOTO, "--yes", "--api", api, *options)
    assert (ended.code, "The vendor says: no … in it" in ended.said) == (1, True)
    assert call(PHOTO, "--yes", "--api", api).code == 0


def test_a_file_that_is_there_is_replaced_with_a_word(call: Command, tmp_path: Path) -> None:
    """Said before anything is paid; what the last run made stays until the new one is whole."""
    (tmp_path / "cat.glb").write_bytes(b"old")
    ended = call(PHOTO, "--yes")
    assert ended.said.startswith("cat.glb is there and will be replaced\n")
    assert (tmp_path / "cat.glb").read_bytes()[:4] == b"glTF"


# Who pays is asked.


PATIENCE_SECONDS = 60


def heeding() -> None:
    """Have a child heed Ctrl-C, whatever runs the tests: what is started in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def shown_until(terminal: int, word: bytes | None) -> bytes:
    """Return what a terminal shows until a word, or until nobody has it any more."""
    shown = b""
    with suppress(OSError):
        while (word is None or word not in shown) and select.select([terminal], [], [], PATIENCE_SECONDS)[0]:
            shown += os.read(terminal, 2**10)
    return shown


def test_nobody_pays_unasked(call: Command, simulator: Simulator) -> None:
    """Where there is no terminal, only --yes agrees."""
    ended = call(PHOTO)
    assert ended.code == 2
    assert "0.05 to 0.07 USD" in ended.said
    assert "`--yes`" in ended.said
    assert simulator.requests()["calls"] == {}


@pytest.mark.parametrize(("answer", "code", "runs"), [("y", 0, 1), ("n", 2, 0), ("\x03", 130, 0)])
def test_a_person_is_asked(
    simulator: Simulator, environment: None, tmp_path: Path, answer: str, code: int, runs: int
) -> None:
    """On a terminal, with what it costs about; the data alone is on standard output."""
    simulator.update(run_time=0)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker", "call", PHOTO, "--json", "--out", str(tmp_path / "a.glb")]
    settings = {**os.environ, "SAM3D_EXPECTED_RUN": "1"}
    with subprocess.Popen(
        command,
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        env=settings,
        start_new_session=True,
        preexec_fn=heeding,  # noqa: PLW1509 - nothing else runs in it before the command
    ) as started:
        os.close(theirs)
        said = shown_until(ours, b"[y/N]")
        os.write(ours, f"{answer}\n".encode()) if answer != "\x03" else started.send_signal(signal.SIGINT)
        shown_until(ours, None)
        printed, _ = started.communicate(timeout=60)
    os.close(ours)
    assert (started.returncode, len(simulator.ledger())) == (code, runs)
    assert b"about 0.05 to 0.07 USD" in said
    assert bool(printed and json.loads(printed)) == bool(runs)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such.png", "--yes"),
        (PHOTO, "--yes", "--box", "1,2,3"),
        (PHOTO, "--yes", "--seed", "-1"),
        (PHOTO, "--yes", "--out", "/dev/null"),
        (PHOTO, "--yes", "--out", "/dev/null/cat.glb"),
        (PHOTO, "--yes", "--out", "x" * 250 + ".glb"),
        ("--yes",),
        (PHOTO, "--resume", "a-run"),
        ("--resume", "a-run", "--seed", "1"),
        ("--resume", "a-run", "--api", "v1"),
        ("--resume", "no/run"),
    ],
    ids=lambda arguments: " ".join(arguments)[-40:],
)
def test_wrong_input_is_told_before_anything_is_sent(
    call: Command, simulator: Simulator, arguments: tuple[str, ...]
) -> None:
    """In one line."""
    ended = call(*arguments)
    assert (ended.code, ended.printed, ended.said.count("\n")) == (2, "", 1)
    assert simulator.requests()["calls"] == {}


def test_without_a_key_nothing_is_sent(call: Command, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a setting that is missing."""
    monkeypatch.delenv("SEGMIND_API_KEY")
    ended = call(PHOTO, "--yes")
    assert (ended.code, "SEGMIND_API_KEY" in ended.said) == (3, True)
    assert simulator.requests()["calls"] == {}


# What is refused.


@pytest.mark.parametrize("api", ["v2", "v1"])
@pytest.mark.parametrize(
    ("trouble", "code", "sentence"),
    [
        ({"credits": 0}, 3, "top the account up. The vendor says: Insufficient credits."),
        ({"revoked_keys": (KEY,)}, 3, "set SEGMIND_API_KEY to a valid one."),
        ({"model_forbidden": True}, 3, "ask the vendor to allow it."),
        ({"team_limit_period": "monthly"}, 3, "raise it or wait for the next period."),
        ({"model_retired": True}, 3, "an update of this service is needed."),
    ],
    ids=["credits", "key", "forbidden", "limit", "retired"],
)
def test_an_account_that_is_refused(
    call: Command, simulator: Simulator, api: str, trouble: dict[str, Any], code: int, sentence: str
) -> None:
    """One line with the fix; nothing was paid."""
    simulator.update(**trouble)
    ended = call(PHOTO, "--yes", "--api", api)
    assert (ended.code, ended.printed) == (code, "")
    assert sentence in ended.said
    assert ended.said.endswith("Nothing was paid.\n")
    assert simulator.ledger() == []


def test_parameters_that_the_vendor_refuses(call: Command, simulator: Simulator) -> None:
    """With its reason."""
    simulator.add_fault(call="submit", kind="status", http_status=400, message="mask has another size than image")
    ended = call(PHOTO, "--yes")
    assert ended.code == 1
    assert "nothing was paid" in ended.said
    assert "The vendor says: mask has another size than image." in ended.said


def test_a_vendor_that_is_not_there(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent, and it is said where to look."""
    monkeypatch.setenv("SEGMIND_BASE_URL", "http://127.0.0.1:1")
    ended = call(PHOTO, "--yes")
    assert (ended.code, "Nothing was paid: check the network and SEGMIND_BASE_URL." in ended.said) == (3, True)


def test_a_run_that_fails(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """Its reason is told, without what it quotes; nothing was charged, nothing is written."""
    simulator.add_fault(call="submit", kind="fail_job", message="no m4rk3r in https://files.example/in.png?s=1 today")
    ended = call(PHOTO, "--yes", "--prompt", "m4rk3r")
    assert ended.code == 1
    assert ended.said.endswith("sam3d: The run failed and was not charged. The vendor says: no … in … today\n")
    assert list(tmp_path.iterdir()) == []


# The request limit.


@pytest.mark.parametrize("api", ["v2", "v1"])
def test_a_closed_window_is_waited_for(call: Command, simulator: Simulator, waits: Waits, api: str) -> None:
    """A 429 starts no run, so the submit is sent again when the vendor's minute is over; until when is said."""
    simulator.update(run_time=0)
    simulator.add_fault(call="submit" if api == "v2" else "blocking", kind="status", http_status=429, count=1)
    ended = call(PHOTO, "--yes", "--api", api)
    assert ended.code == 0
    assert 0 < waits.delays[0] <= 60
    assert "429: waiting until " in ended.said
    started(simulator)


def test_a_window_that_opens_too_late(call: Command, simulator: Simulator) -> None:
    """Nobody waits for what comes after the end."""
    simulator.update(requests_per_minute=0, reset_header="missing")
    ended = call(PHOTO, "--yes", "--timeout", "30")
    assert ended.code == 4
    assert "call again then. Nothing was paid." in ended.said
    assert simulator.ledger() == []


def test_a_look_waits_for_the_window_as_well(call: Command, simulator: Simulator) -> None:
    """And the run is not given up."""
    for name in ("status", "result"):
        simulator.add_fault(call=name, kind="status", http_status=429, count=1)
    assert call(PHOTO, "--yes").code == 0
    started(simulator)


# A submit without an answer.


@pytest.mark.parametrize("api", ["v2", "v1"])
def test_a_lost_answer_is_not_sent_again(call: Command, simulator: Simulator, tmp_path: Path, api: str) -> None:
    """It may have been paid: the runs that may be it are shown, and one that is chosen gives its model for free."""
    simulator.update(run_time=0)
    name = "submit" if api == "v2" else "blocking"
    simulator.add_fault(call=name, kind="drop_answer", count=1)
    ended = call(PHOTO, "--yes", "--api", api, "--prompt", "m4rk3r")
    assert (ended.code, ended.printed) == (4, "")
    assert "a run may have been started. It was not sent again. See the runs above" in ended.said
    run = started(simulator)
    assert f"`sam3d call --resume {run} --out cat.glb` gets its model, for free." in ended.said
    assert call("--resume", run, "--out", "cat.glb").code == 0
    assert (tmp_path / "cat.glb").exists()
    assert (started(simulator), counted(simulator, name)) == (run, 1)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_of_the_vendors_is_no_refusal(call: Command, simulator: Simulator, status: int) -> None:
    """Whether it started a run nobody knows."""
    simulator.add_fault(call="submit", kind="status", http_status=status)
    ended = call(PHOTO, "--yes")
    assert (ended.code, counted(simulator, "submit")) == (4, 1)
    assert "No run that may be it is listed yet" in ended.said


@pytest.mark.parametrize(
    ("history", "word"),
    [({"history_available": False}, "can't be asked"), ({"history_images": "dropped"}, "See the runs")],
)
def test_a_lost_answer_where_the_history_is_another(
    call: Command, simulator: Simulator, history: dict[str, Any], word: str
) -> None:
    """It may not answer, and it may not show pictures."""
    simulator.update(**history)
    simulator.add_fault(call="submit", kind="truncate", count=1)
    ended = call(PHOTO, "--yes")
    assert (ended.code, word in ended.said) == (4, True)


def test_a_run_of_something_else_is_not_offered(call: Command, simulator: Simulator) -> None:
    """Nor one of long ago."""
    simulator.update(run_time=0)
    simulator.advance(timedelta(minutes=-30))
    assert call(PHOTO, "--yes", "--prompt", "a cat").code == 0
    simulator.advance(timedelta(minutes=30))
    assert call(PHOTO, "--yes", "--prompt", "a cup").code == 0
    simulator.add_fault(call="submit", kind="status", http_status=500)
    assert "No run that may be it is listed yet" in call(PHOTO, "--yes", "--prompt", "a cat").said


# A run that goes on.


def test_ctrl_c_tells_the_run(call: Command, simulator: Simulator, waits: Waits, tmp_path: Path) -> None:
    """It goes on and is paid; the command that goes on with it is ready to be copied."""
    waits.is_interrupted = True
    ended = call(PHOTO, "--yes", "--out", "a cat.glb")
    run = started(simulator)
    assert ended.code == 130
    assert f"Run {run} goes on at the vendor, and is paid: `sam3d call --resume {run} --out 'a cat.glb'`" in ended.said
    waits.is_interrupted = False
    resumed = call("--resume", run, "--out", "a cat.glb", "--json")
    assert (resumed.code, resumed.made["request_id"], resumed.made["cost"]) == (0, run, 0.06)
    assert (tmp_path / "a cat.glb").read_bytes()[:4] == b"glTF"
    assert (started(simulator), counted(simulator, "submit")) == (run, 1)


def test_ctrl_c_before_the_answer(call: Command, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent may have started a run, though it has no id here."""
    submit = Vendor.submit

    def interrupted(vendor: Vendor, parameters: Any) -> None:
        submit(vendor, parameters)
        raise KeyboardInterrupt

    monkeypatch.setattr(Vendor, "submit", interrupted)
    ended = call(PHOTO, "--yes")
    assert ended.code == 130
    assert "a run may have been started. Look at the request history" in ended.said


def test_a_run_that_does_not_end_in_time(call: Command, simulator: Simulator, waits: Waits) -> None:
    """It is looked at to the last second, and is not lost."""
    simulator.add_fault(call="submit", kind="never_ends")
    ended = call(PHOTO, "--yes", "--timeout", "100")
    assert ended.code == 4
    assert sum(waits.delays) == pytest.approx(100, abs=2)
    assert f"`sam3d call --resume {started(simulator)} --out cat.glb` goes on with it, for free." in ended.said


def test_a_record_that_is_gone_is_found_in_the_history(call: Command, simulator: Simulator, waits: Waits) -> None:
    """Its file lives for a week."""
    waits.is_interrupted = True
    call(PHOTO, "--yes")
    waits.is_interrupted = False
    simulator.advance(timedelta(hours=2))
    assert call("--resume", started(simulator)).code == 0


def test_a_run_that_nobody_knows(call: Command, waits: Waits) -> None:
    """It is looked for a few times, in case it was started just now."""
    ended = call("--resume", "5a3d0b1e-7c5e-4d0a-9a57-1f6c1c0f3d5a")
    assert (ended.code, len(waits.delays)) == (1, following.GONE_TRIES - 1)
    assert "no history that answers shows this one" in ended.said


def test_a_run_that_is_known_late(call: Command, simulator: Simulator) -> None:
    """No 404 gives up what was paid."""
    simulator.update(known_after_seconds=120)
    assert call(PHOTO, "--yes").code == 0


@pytest.mark.parametrize("name", ["status", "result"])
@pytest.mark.parametrize("kind", ["reset", "html", "truncate", "broken_json", "empty"])
def test_a_look_that_fails_is_made_again(call: Command, simulator: Simulator, name: str, kind: str) -> None:
    """Looking is free."""
    simulator.add_fault(call=name, kind=kind, count=2)
    assert call(PHOTO, "--yes").code == 0
    started(simulator)


def test_an_output_that_is_named_late(call: Command, simulator: Simulator) -> None:
    """The run was paid, so it is waited for."""
    simulator.update(output_delay_seconds=20, history_output_delay_seconds=20)
    assert call(PHOTO, "--yes").code == 0


def test_a_key_that_is_revoked_meanwhile(call: Command, simulator: Simulator) -> None:
    """The run is not lost."""
    simulator.add_fault(call="status", kind="status", http_status=401)
    ended = call(PHOTO, "--yes")
    assert ended.code == 3
    assert f"--resume {started(simulator)}" in ended.said


# The file.


def test_a_broken_model_is_not_written(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """It is tried a few times; what was there stays, and the run is not lost."""
    (tmp_path / "cat.glb").write_bytes(b"old")
    number = simulator.add_fault(call="download", kind="wrong_magic")
    ended = call(PHOTO, "--yes")
    assert (ended.code, counted(simulator, "download")) == (1, gathering.TRIES)
    assert "is no GLB. Run " in ended.said
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
    simulator.drop_fault(number)
    assert call("--resume", started(simulator), "--out", "cat.glb").code == 0
    assert (tmp_path / "cat.glb").read_bytes()[:4] == b"glTF"


@pytest.mark.parametrize("kind", ["wrong_magic", "html"])
def test_a_broken_answer_of_the_blocking_call(call: Command, simulator: Simulator, tmp_path: Path, kind: str) -> None:
    """It is not called again; the run that may be it is shown."""
    simulator.update(run_time=0)
    simulator.add_fault(call="blocking", kind=kind, count=1)
    ended = call(PHOTO, "--yes", "--api", "v1")
    assert (ended.code, counted(simulator, "blocking")) == (1, 1)
    assert "The run was paid, and not sent again. See the runs above" in ended.said
    assert list(tmp_path.iterdir()) == []
    assert call("--resume", started(simulator)).code == 0


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_truncated_download_goes_on(call: Command, simulator: Simulator, tmp_path: Path, *, has_ranges: bool) -> None:
    """Where it broke, or anew; the file is whole."""
    simulator.update(output_ranges=has_ranges)
    simulator.add_fault(call="download", kind="truncate", count=1)
    assert call(PHOTO, "--yes").code == 0
    model = (tmp_path / "cat.glb").read_bytes()
    assert int.from_bytes(model[8:12], "little") == len(model)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.glb"]


def test_a_run_that_made_no_model(call: Command, simulator: Simulator, tmp_path: Path) -> None:
    """A host that may not be reached gives none."""
    simulator.add_fault(call="result", kind="output_url", url="http://10.0.0.1/model.glb")
    ended = call(PHOTO, "--yes")
    assert (ended.code, list(tmp_path.iterdir())) == (1, [])
    assert "not downloaded" in ended.said
