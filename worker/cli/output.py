"""The files that were made: ``output``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.cli.look import describe_job, job_uuid
from worker.cli.opened import opened_database
from worker.cli.previews import require_previews, with_previews
from worker.cli.show import print_json, say, writable_folder
from worker.database.engine import transaction
from worker.errors import Sam3dError
from worker.outputs.saving import write_file
from worker.outputs.stores import Stores
from worker.rules.lifecycle import JobState


def output(job_id: str, folder: Path, name: str | None, *, has_preview: bool, as_json: bool) -> None:
    """Write a job's files, or the one of a name; each is complete and checked, or is not there."""
    wanted = job_uuid(job_id)
    if has_preview:
        require_previews()
    with opened_database() as (settings, engine):
        with transaction(engine) as connection:
            shown = describe_job(connection, wanted)
        chosen = chosen_outputs(shown, name)
        stores = Stores(settings.storage, engine)
        paths = [write_output(stores, each, writable_folder(folder)) for each in chosen]
    pictures = with_previews(paths)[len(paths) :] if has_preview else []
    if as_json:
        rows = [{**each, "path": path} for each, path in zip(chosen, paths, strict=True)]
        print_json([*rows, *({"name": path.name, "media_type": "image/png", "path": path} for path in pictures)])
    else:
        for path in [*paths, *pictures]:
            say(str(path))


def chosen_outputs(shown: Mapping[str, Any], name: str | None) -> Sequence[Mapping[str, Any]]:
    """Return a job's files, or the one of a name.

    Raises:
        Sam3dError: there is none; says why.
    """
    chosen = [each for each in shown["outputs"] if name in (None, each["name"])]
    if not chosen:
        raise Sam3dError(why_none(shown))
    return chosen


def write_output(stores: Stores, file: Mapping[str, Any], folder: Path) -> Path:
    """Write one of a job's files into a folder, complete or not at all."""
    return write_file(stores.read(file), file, folder)


_NOT_YET = "is {state}, so its files are not there yet; `sam3d wait {id} --out FOLDER` waits for them"
_WHY_NONE = {
    **dict.fromkeys(JobState, _NOT_YET),
    JobState.REVIEW: "has no files: a person must decide what becomes of it; see `sam3d review`",
    JobState.SUCCEEDED: "succeeded, and its files are not kept any more",
    JobState.FAILED: "failed, so there are no files ({error_code}): {error_message}",
    JobState.CANCELLED: "was cancelled, so there are no files",
}


def why_none(shown: Mapping[str, Any]) -> str:
    """Say why a job does not have the files that were asked for."""
    if names := [each["name"] for each in shown["outputs"]]:
        return f"Job {shown['id']} has no such file; it has {' and '.join(names)}."
    return f"Job {shown['id']} {_WHY_NONE[shown['state']].format_map(shown)}".rstrip(".") + "."
