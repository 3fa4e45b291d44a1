"""Shows that the suite can fail: faults are put into a copy of the code, one by one, and the tests must find each.

``make mutants`` runs it; it fails if a mutant is not found, or if the copy without one is.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("worker", "tests", "migrations", "pyproject.toml", "README.md")
CRASHES = "tests/faults/test_crash_points.py"
AT_ONCE = "tests/integration/database/test_at_once.py"
HISTORY = "tests/faults/test_history.py"
SUBMITS = "tests/faults/test_vendor_faults.py::test_broken_submits_are_looked_up"
READS = "tests/faults/test_reads.py"
TESTS_FAILED = 1  # pytest's exit code; any other says that the tests could not be run.


@dataclass(frozen=True)
class Edit:
    """A text that is in a file exactly once, and what takes its place."""

    file: str
    text: str
    replacement: str


@dataclass(frozen=True)
class Mutant:
    """A fault, how it is put into the code, and the tests that have to find it."""

    name: str
    edits: Sequence[Edit]
    tests: Sequence[str]


MUTANTS = (
    Mutant(
        "a submit is repeated on a time-out",
        [
            Edit(
                "worker/vendor/api.py",
                "NOT_SENT = (httpx.ConnectError,",
                "NOT_SENT = (httpx.ReadTimeout, httpx.ConnectError,",
            )
        ],
        [SUBMITS],
    ),
    Mutant(
        "a request is acknowledged before its row is committed",
        [
            Edit("worker/app.py", '"task_acks_late": True', '"task_acks_late": False'),
            Edit(
                "worker/intake/inbox.py",
                "            envelope = open_message(",
                "            message.ack()\n            envelope = open_message(",
            ),
            Edit(
                "worker/intake/inbox.py",
                "            go_on(self._services, None, follow_up)\n            message.ack()",
                "            go_on(self._services, None, follow_up)",
            ),
        ],
        [f"{CRASHES}::test_killed_anywhere_without_history"],
    ),
    Mutant(
        "what was handed over goes down with its worker",
        [Edit("worker/app.py", "        self.services.post.close()\n", "")],
        ["tests/integration/work/test_outgoing.py::test_what_was_handed_over_is_out_before_the_process_ends"],
    ),
    Mutant(
        "there is no sweep",
        [Edit("worker/upkeep/duties.py", "            self.sweep,\n", "")],
        [f"{CRASHES}::test_killed_anywhere"],
    ),
    Mutant(
        "the end of a shared run is told to nobody who waits for it",
        [Edit("worker/work/changes.py", "    if job.is_shared:\n", "    if False:\n")],
        ["tests/faults/test_shared_runs.py"],
    ),
    Mutant(
        "a 404 is final",
        [Edit("worker/rules/expiry.py", "    if not is_over:\n        return None\n", "    return LastLooks(1, 0)\n")],
        [f"{READS}::test_a_404_of_ten_minutes_gives_nothing_up"],
    ),
    Mutant(
        "the ids of answers are not compared",
        [
            Edit(
                "worker/vendor/answers.py",
                "if named is None or canonical_id(named) != canonical_id(request_id):",
                "if named is None:",
            )
        ],
        [f"{READS}::test_no_job_gets_the_model_of_another"],
    ),
    Mutant(
        "a failed look is silence",
        [Edit("worker/rules/proof.py", "self in {Gap.NO_HISTORY, ", "self in {Gap.NO_HISTORY, Gap.NO_ANSWER, ")],
        [f"{HISTORY}::test_a_look_that_failed_is_no_silence"],
    ),
    Mutant(
        "a run is looked for in the time of its submit alone",
        [
            Edit(
                "worker/rules/evidence.py",
                "(Gap.TWIN, bool(alike)),",
                "(Gap.TWIN, any(self._is_in_time(doubted, row) for row in alike)),",
            )
        ],
        [f"{HISTORY}::test_a_run_of_the_same_inputs_at_any_time_speaks_against_a_repeat"],
    ),
    Mutant(
        "an id that the ledger knows is an answer",
        [
            Edit(
                "worker/work/ledger.py",
                "if request_id and not ownership.claim(connection, job.token, said):",
                "if request_id and request_id == job.id:",
            )
        ],
        [f"{HISTORY}::test_an_id_that_was_given_before_is_no_answer"],
    ),
    Mutant(
        "an id that was told to another, and given back, is an answer",
        [Edit("migrations/versions/0017_refuse_a_known_run.py", "    op.execute(_ASK)\n", "")],
        [AT_ONCE],
    ),
    Mutant(
        "an answer is written of a job that somebody has written meanwhile",
        [Edit("worker/database/at_once.py", ', jobs.c.version == bindparam("seen")]', ', bindparam("seen") > 0]')],
        [AT_ONCE],
    ),
    Mutant(
        "an outage of submits holds no account",
        [Edit("worker/rules/standing.py", "return unknown_submits >= IN_DOUBT", "return unknown_submits < 0")],
        ["tests/faults/test_account.py::test_an_outage_holds_the_account"],
    ),
)


def main() -> None:
    """Run the tests on a copy as it is, then with each mutant."""
    tests = sorted({test for mutant in MUTANTS for test in mutant.tests})
    is_green = _said("no mutant", is_good=_run(None, tests) == 0)
    found = [_said(mutant.name, is_good=_run(mutant, mutant.tests) == TESTS_FAILED) for mutant in MUTANTS]
    sys.exit(0 if is_green and all(found) else 1)


def _said(name: str, *, is_good: bool) -> bool:
    print(f"{'as it should be' if is_good else 'WRONG':16} {name}", flush=True)
    return is_good


def _run(mutant: Mutant | None, tests: Sequence[str]) -> int:
    """Run tests on a copy of the code with a mutant, and return pytest's exit code."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sam3d-mutant-") as folder:
        copy = Path(folder)
        _copy_to(copy)
        for edit in mutant.edits if mutant else ():
            apply(edit, copy)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    for line in done.stdout.strip().splitlines()[-4:]:
        print(f"  {line}")
    print(f"  within {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode


def _copy_to(copy: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)


def apply(edit: Edit, copy: Path) -> None:
    """Put an edit into a copy of the code.

    Raises:
        ValueError: the text is not there exactly once, so the mutant would prove nothing.
    """
    path = copy / edit.file
    found = path.read_text()
    if found.count(edit.text) != 1:
        raise ValueError(f"{edit.file} has this text {found.count(edit.text)} times, not once: {edit.text!r}")
    path.write_text(found.replace(edit.text, edit.replacement))


if __name__ == "__main__":
    main()
