"""What becomes of files that did not come: what is whole is kept in any case, and a model is a success."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.errors import OutputBroken, OutputMissing, OutputUnusable, RemoteUnavailable, Sam3dError, StoreUnavailable
from worker.rules.job import Job
from worker.rules.lifecycle import JobState, Trigger
from worker.rules.outcome import NOTHING, Advance, Fail, Outcome, Snooze
from worker.rules.output_files import StoredFile
from worker.rules.retry import OUTPUT_LIFETIME
from worker.work.collecting import BROKEN_FILES, EXTRA_TRIES, LAST_TRIES, OTHER_TRIES, Haul, concluded

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job("job", "default", JobState.FETCHING, 1, {}, {}, 0, 0, 0, "run", NOW, NOW)
GLB, PLY, ZIP = "https://x/a.glb", "https://x/a.ply", "https://x/a.zip"
NAMES = {GLB: "model.glb", PLY: "splat.ply", ZIP: "artifacts.zip"}
AWAY, BROKEN, REFUSED = RemoteUnavailable("x", 503), OutputBroken("x"), OutputUnusable("x")
UNSTORED = StoreUnavailable("x")


def outcome_of(*whole: str, is_told: bool = True, kept: tuple[str, ...] = (), missing: Any = (), **job: Any) -> Outcome:
    """Return what it leads to that some files came, some were kept before, and others are missing."""
    files = {at: StoredFile(NAMES[at], "", 1, "", "database:output") for at in whole}
    haul = Haul(files, dict(missing))
    of_job = replace(JOB, kept={at: NAMES[at] for at in kept}, **job)
    return concluded(of_job, haul, NOTHING, is_told=is_told, jitter=1)


def columns(outcome: Outcome) -> Mapping[str, Any]:
    """Return what is written."""
    assert isinstance(outcome, Advance | Snooze | Fail)
    return outcome.learnt.columns()


@pytest.mark.parametrize("model", [GLB, PLY])
@pytest.mark.parametrize("kept", [True, False])
def test_one_model_is_a_success(model: str, *, kept: bool) -> None:
    """Whichever try brought it; and each file is written with where it came from."""
    outcome = outcome_of(ZIP, kept=(model,)) if kept else outcome_of(model, ZIP)
    assert isinstance(outcome, Advance)
    assert (outcome.trigger, columns(outcome)["kept"]) == (Trigger.STORED, {at: NAMES[at] for at in (model, ZIP)})


@pytest.mark.parametrize("error", [AWAY, BROKEN, REFUSED])
def test_what_is_whole_is_stored_whatever_else_is_missing(error: Sam3dError) -> None:
    """And only the rest is asked for again."""
    outcome = outcome_of(ZIP, is_told=False, missing={GLB: error})
    assert isinstance(outcome, Snooze)
    assert [file.name for file in outcome.files] == ["artifacts.zip"]
    assert columns(outcome)["addresses"] == (None if error is REFUSED else [GLB])


@pytest.mark.parametrize(
    ("error", "has", "attempts", "is_over"),
    [
        (AWAY, GLB, EXTRA_TRIES - 2, False),
        (AWAY, GLB, EXTRA_TRIES - 1, True),
        (BROKEN, GLB, EXTRA_TRIES - 1, True),
        (REFUSED, GLB, 0, True),
        (AWAY, PLY, EXTRA_TRIES, False),
        (AWAY, PLY, OTHER_TRIES - 1, True),
        (UNSTORED, GLB, EXTRA_TRIES, False),
        (UNSTORED, PLY, OTHER_TRIES, False),
    ],
)
def test_an_extra_file_is_tried_a_few_times(error: Sam3dError, has: str, attempts: int, *, is_over: bool) -> None:
    """Then the model is what counts; a store of ours that is away for a day drops nothing."""
    outcome = outcome_of(has, is_told=False, missing={ZIP: error}, attempts=attempts)
    assert isinstance(outcome, Advance if is_over else Snooze)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_elsewhere_is_asked_for_at_the_result(status: int) -> None:
    """Which may name another place: its address is forgotten, no other is."""
    outcome = outcome_of(ZIP, is_told=False, missing={GLB: RemoteUnavailable("x", status)})
    assert (columns(outcome)["addresses"], columns(outcome)["kept"]) == (None, {ZIP: "artifacts.zip"})


@pytest.mark.parametrize("broken_files", range(BROKEN_FILES))
def test_a_broken_model_is_fetched_again_a_few_times(broken_files: int) -> None:
    """Then it is what was paid for, and the evidence is told."""
    outcome = outcome_of(missing={GLB: BROKEN}, broken_files=broken_files)
    assert isinstance(outcome, Fail if broken_files + 1 == BROKEN_FILES else Snooze)
    assert columns(outcome)["broken_files"] == broken_files + 1


def test_a_model_that_is_refused_ends_the_job_once_the_result_has_said_so() -> None:
    """An address that came from elsewhere is checked against it first."""
    assert isinstance(outcome_of(is_told=False, missing={GLB: REFUSED}), Snooze)
    assert isinstance(outcome_of(is_told=True, missing={GLB: REFUSED}), Fail)


@pytest.mark.parametrize(
    ("age", "attempts", "is_over"),
    [
        (OUTPUT_LIFETIME + timedelta(seconds=1), LAST_TRIES, True),
        (OUTPUT_LIFETIME + timedelta(seconds=1), LAST_TRIES - 1, False),
        (OUTPUT_LIFETIME, 1000, False),
    ],
)
def test_a_model_that_does_not_come_is_given_up_with_its_week(age: timedelta, attempts: int, *, is_over: bool) -> None:
    """And not by one clock that is ahead for a minute."""
    outcome = outcome_of(missing={GLB: AWAY}, submitted_at=NOW - age, attempts=attempts)
    assert isinstance(outcome, Fail if is_over else Snooze)


def test_files_without_a_model_are_no_success() -> None:
    """They are stored, and the model is asked for until the vendor's hour is over."""
    outcome = outcome_of(ZIP)
    assert isinstance(outcome, Snooze)
    assert (len(outcome.files), columns(outcome)["addresses"]) == (1, None)
    with pytest.raises(OutputMissing):
        outcome_of(kept=(ZIP,))


@pytest.mark.parametrize(("attempts", "is_over"), [(0, False), (EXTRA_TRIES - 1, True)])
def test_artifacts_that_were_asked_for_may_be_named_late(attempts: int, *, is_over: bool) -> None:
    """The model is stored meanwhile; after a few tries it is enough."""
    outcome = outcome_of(GLB, parameters={"include_artifacts": True}, attempts=attempts)
    assert isinstance(outcome, Advance if is_over else Snooze)
    assert len(outcome.files) == 1
    assert isinstance(outcome_of(GLB, ZIP, parameters={"include_artifacts": True}), Advance)


def test_what_could_not_be_had_is_told() -> None:
    """By what it was to be, and why; its address is nobody's to know."""
    outcome = outcome_of(GLB, is_told=False, missing={ZIP: AWAY}, attempts=EXTRA_TRIES)
    assert columns(outcome)["missing"] == [{"name": "file.zip", "reason": "x"}]


def test_artifacts_that_were_never_named_are_told() -> None:
    """They were asked for, and the result names a model alone."""
    outcome = outcome_of(GLB, parameters={"include_artifacts": True}, attempts=EXTRA_TRIES)
    assert [each["name"] for each in columns(outcome)["missing"]] == ["artifacts.zip"]
