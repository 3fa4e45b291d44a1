"""Collect: download what a run made, keep each file that is whole, and tell what becomes of the others.

A file is stored with the try that got it, so that no other file's trouble makes it come twice.
"""

import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta

from worker.errors import (
    OutputBroken,
    OutputInvalid,
    OutputMissing,
    OutputUnusable,
    RemoteUnavailable,
    Sam3dError,
    StoreUnavailable,
)
from worker.gate.formats import GLB, MODELS, OTHER, ZIP
from worker.log import Log
from worker.network import deadline
from worker.outputs.download import with_unique_names
from worker.outputs.stores import Role
from worker.rules.addresses import is_file, promised
from worker.rules.job import Job
from worker.rules.lifecycle import Trigger
from worker.rules.outcome import Advance, Fail, Learnt, Outcome, Snooze
from worker.rules.output_files import StoredFile
from worker.rules.retry import OUTPUT_LIFETIME, next_attempt
from worker.telemetry.failpoints import reach
from worker.work.services import Services

BROKEN_FILES = 6
"""A model that arrived broken so often is broken where it is kept."""

EXTRA_TRIES, OTHER_TRIES = 4, 30
"""How often what is missing is tried beside a GLB that is stored, and beside a model of another kind."""

LAST_TRIES = 10
"""Failed tries without which no age of a job gives its files up: one clock alone does not."""

AT_ANOTHER_PLACE = {403, 404, 410}
"""A file host that answers so is asked no more: the result is, which may name another place."""

log = Log(__name__)


@dataclass(frozen=True)
class Haul:
    """What came of some addresses: sound files by address, why the others have none, and what came in their place."""

    files: Mapping[str, StoredFile] = field(repr=False)
    missing: Mapping[str, Sam3dError] = field(repr=False)
    broken: Sequence[StoredFile] = ()

    @property
    def is_refused(self) -> bool:
        """Whether no other try can get what is missing."""
        return all(isinstance(error, OutputUnusable) for error in self.missing.values())

    @property
    def is_elsewhere(self) -> bool:
        """Whether something is not where it was said to be."""
        return any(getattr(error, "http_status", None) in AT_ANOTHER_PLACE for error in self.missing.values())

    @property
    def is_unstored(self) -> bool:
        """Whether something arrived that our own store did not take."""
        return any(isinstance(error, StoreUnavailable) for error in self.missing.values())

    @property
    def has_broken(self) -> bool:
        """Whether something arrived, and not whole."""
        return any(isinstance(error, OutputBroken) for error in self.missing.values())


def collect(services: Services, job: Job, addresses: Sequence[str], learnt: Learnt) -> Outcome:
    """Download what is not stored yet; ``learnt`` is what the result told, if it was asked just now.

    Raises:
        OutputInvalid: all that is named is stored, and no model is among it.
    """
    kept = job.kept or {}
    haul = _download(services, [each for each in addresses if each not in kept])
    haul = haul if _has_glb([*kept.values(), *_names(haul)]) else _without_doubtful(haul)
    return concluded(job, haul, learnt, is_told=job.addresses is None, jitter=random.random())


def _download(services: Services, addresses: Sequence[str]) -> Haul:
    """Download each address once and store it, the likeliest model first."""
    files: dict[str, StoredFile] = {}
    missing: dict[str, Sam3dError] = {}
    broken: list[StoredFile] = []
    with deadline(services.settings.run.download_deadline):
        for address in sorted(addresses, key=lambda each: promised(each) != "glb"):
            try:
                stored, flaw = _kept(services, address)
            except StoreUnavailable as error:  # It is away for the others as well, and each would be waited for.
                missing |= {each: error for each in addresses if each not in files and each not in missing}
                break
            except (OutputBroken, OutputUnusable, RemoteUnavailable) as error:
                missing[address] = error
                continue
            if flaw:
                missing[address] = OutputBroken(flaw)
                broken.append(stored)
            else:
                files[address] = stored
    return Haul(files, missing, broken)


def _kept(services: Services, address: str) -> tuple[StoredFile, str]:
    """Download a file and have it stored, with its flaw if it has one; one at a time is on this worker's disk."""
    with closing(services.downloads.fetch(address)) as file:
        stored = services.stores.put(file, Role.EVIDENCE if file.flaw else Role.OUTPUT)
    reach("fetch.stored")
    return stored, file.flaw


def _names(haul: Haul) -> Sequence[str]:
    return [file.name for file in haul.files.values()]


def _has_glb(names: Sequence[str]) -> bool:
    return any(name.endswith(GLB.name[-4:]) for name in names)


def _without_doubtful(haul: Haul) -> Haul:
    """Take bytes that nothing names for a broken model, where there is no sound one."""
    doubtful = {at: file for at, file in haul.files.items() if file.name == OTHER.name and not promised(at)}
    whole = {at: file for at, file in haul.files.items() if at not in doubtful}
    flaws = {at: OutputBroken(f"A file of {file.size} bytes is no output.") for at, file in doubtful.items()}
    return Haul(whole, {**haul.missing, **flaws}, [*haul.broken, *doubtful.values()])


def concluded(job: Job, haul: Haul, learnt: Learnt, *, is_told: bool, jitter: float) -> Outcome:
    """Decide what a haul leads to; ``is_told`` says that the result named these addresses just now.

    Raises:
        OutputInvalid: all that is named is stored, and no model is among it.
    """
    before = job.kept or {}
    files = with_unique_names(list(haul.files.values()), before.values())
    kept = {**before, **{at: file.name for at, file in zip(haul.files, files, strict=True)}}
    learnt = learnt | Learnt(kept=kept, broken_files=job.broken_files + haul.has_broken)
    has_model = any(name.rpartition(".")[2] in MODELS for name in kept.values())
    if not haul.missing and not has_model and not files:
        raise OutputInvalid("The run completed, but no model is among its files.")
    if not haul.missing and has_model and not _awaits_more(job, kept):
        return Advance(Trigger.STORED, learnt=learnt | Learnt(missing=_unnamed(job, kept)), files=files)
    error = next(iter(haul.missing.values()), OutputMissing("The run completed, but not all of its files are named."))
    if not _is_given_up(job, haul, kept, is_told=is_told, has_model=has_model):
        left = None if haul.is_elsewhere or haul.is_refused else list(haul.missing) or None
        again_in = next_attempt(job.attempts, jitter)
        return Snooze(again_in, str(error), is_attempt=True, learnt=learnt | Learnt(addresses=left), files=files)
    if has_model:
        log.warning("outputs_dropped", count=len(haul.missing), reason=str(error), next="the job succeeds without them")
        return Advance(Trigger.STORED, learnt=learnt | Learnt(missing=_told(haul)), files=files)
    code = OutputInvalid.code if haul.has_broken else getattr(error, "code", "output_unusable")
    evidence = with_unique_names(haul.broken, kept.values())
    return Fail(Trigger.ENDED, code, str(error), learnt, files=[*files, *evidence])


def _told(haul: Haul) -> Sequence[Mapping[str, str]]:
    """Say of each file that is given up what it was to be, and why there is none; its address is nobody's to know."""
    return [{"name": f"file.{_end(at)}", "reason": str(error)} for at, error in haul.missing.items()]


def _end(address: str) -> str:
    return promised(address) if is_file(address) else "bin"


def _unnamed(job: Job, kept: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """Say that the artifacts that were asked for were never named."""
    is_short = bool(job.parameters.get("include_artifacts")) and len(kept) < 2
    return [{"name": ZIP.name, "reason": "The result names no such file."}] if is_short else []


def _awaits_more(job: Job, kept: Mapping[str, str]) -> bool:
    """Tell whether the artifacts that were asked for may be named yet: for a few tries."""
    return bool(job.parameters.get("include_artifacts")) and len(kept) < 2 and job.attempts + 1 < EXTRA_TRIES


def _is_given_up(job: Job, haul: Haul, kept: Mapping[str, str], *, is_told: bool, has_model: bool) -> bool:
    """Tell whether what is missing is tried no more: sooner where a sound model is stored."""
    if not haul.missing:
        return False
    has_glb = _has_glb(list(kept.values()))
    if haul.is_refused:
        return is_told or has_glb
    if haul.is_unstored:
        return are_files_gone(job.age, job.attempts)
    if has_model:
        return job.attempts + 1 >= (EXTRA_TRIES if has_glb else OTHER_TRIES)
    is_broken = haul.has_broken and job.broken_files + 1 >= BROKEN_FILES
    return is_broken or are_files_gone(job.age, job.attempts)


def are_files_gone(age: timedelta, attempts: int) -> bool:
    """Tell whether nothing of a run is kept any more: so old a job is, and so often it was tried."""
    return age > OUTPUT_LIFETIME and attempts >= LAST_TRIES
