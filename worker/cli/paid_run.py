"""A paid run for whoever waits for it: from the submit to its files, and what is said where it breaks off."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

from worker.cli.show import brief
from worker.config.environment import Settings
from worker.errors import (
    AccountHeld,
    ConfigurationError,
    HistoryMissing,
    NotSent,
    RemoteJobFailed,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
    WaitTimeout,
)
from worker.outputs.download import Downloads, require_sound, take_in
from worker.outputs.gathering import gather, paths_of, save
from worker.rules.output_files import FetchedFile
from worker.rules.plan import prior_plan
from worker.rules.run import Listed, RemoteStatus, RunResult
from worker.vendor.api import Vendor
from worker.vendor.following import Following, Patience, start
from worker.vendor.lost import runs_like
from worker.vendor.quoting import SAYS, quoted, why_failed

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """What one call is made with."""

    settings: Settings
    vendor: Vendor
    patience: Patience
    out: Path
    note: Callable[[str], None]
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def resumed_by(self, request_id: str) -> str:
        """Return the command that goes on with a run."""
        return f"`sam3d call --resume {quote(request_id)} --out {quote(str(self.out))}`"


def through_v2(call: Call) -> dict[str, Any]:
    """Submit, look until it is over, download."""
    submitted = _started(call, lambda: call.vendor.submit(call.parameters))
    call.note(f"started run {submitted.request_id}")
    return followed(call, submitted.request_id)


def through_v1(call: Call) -> dict[str, Any]:
    """Make the blocking call; its answer is the model, and tells neither the run nor what it cost."""
    call.patience.tell("waiting for the answer")
    since = datetime.now(UTC)
    answer = _started(call, lambda: call.vendor.generate(call.parameters, call.patience.left))
    try:
        files = _saved(call, [require_sound(take_in(answer.body, "glb"))])
    except (Sam3dError, OSError) as error:
        raise _broken_off(error, f"The run was paid, and not sent again. {_looked_up(call, since)}") from None
    return {"request_id": None, "cost": None, "credits_left": answer.credits_left, "metrics": {}, "files": files}


def followed(call: Call, request_id: str, *, is_resumed: bool = False) -> dict[str, Any]:
    """Look at a run until it is over, and save what it made."""
    goes_on = f"{call.resumed_by(request_id)} goes on with it, for free."
    try:
        return _followed(call, request_id, is_resumed=is_resumed)
    except KeyboardInterrupt:
        call.note(f"Run {request_id} goes on at the vendor, and is paid: {goes_on}")
        raise
    except (RemoteJobFailed, RemoteRequestGone):
        raise
    except (Sam3dError, OSError) as error:
        raise _broken_off(error, f"Run {request_id} is not lost: {goes_on}") from None


def _followed(call: Call, request_id: str, *, is_resumed: bool) -> dict[str, Any]:
    result = _ended(call, request_id, is_resumed=is_resumed)
    call.patience.tell("downloading")
    with closing(Downloads(call.settings)) as downloads:
        gathered = gather(downloads, result.addresses)
    files = _saved(call, gathered.files)
    for error in gathered.missing:
        call.note(
            f"A file beside the model is missing: {error} {call.resumed_by(request_id)} tries it again, for free."
        )
    metrics = dict(result.run.metrics)
    told = {"cost": metrics.get("cost"), "credits_left": metrics.get("remaining_credits")}
    return {"request_id": request_id, **told, "metrics": metrics, "files": files}


def _ended(call: Call, request_id: str, *, is_resumed: bool) -> RunResult:
    """Look at a run until it has completed; raises as ``Following.result``, and RemoteJobFailed."""
    plan, asks_history = prior_plan(call.settings.run.expected), call.settings.history.mode != "off"
    following = Following(
        call.vendor, request_id, plan, call.patience, is_resumed=is_resumed, asks_history=asks_history
    )
    result = following.result()
    if result.run.status is RemoteStatus.FAILED:
        raise RemoteJobFailed(why_failed(result.run.error, call.parameters))
    return result


def _saved(call: Call, files: Sequence[FetchedFile]) -> Sequence[Mapping[str, Any]]:
    """Write files, the model under the name that was asked for; one that is replaced there was told before."""
    rows = []
    for file, path in zip(files, paths_of([each.name for each in files], call.out), strict=True):
        if path != call.out and path.exists():
            call.note(f"{path} is replaced")
        with closing(file):
            save(file, path)
        rows.append({"path": path, "media_type": file.media_type, "bytes": file.size, "sha256": file.sha256})
    return rows


# What is said where it breaks off.


def _started(call: Call, submit: Callable[[], T]) -> T:
    """Send a submit, never again where a run may have been started.

    Raises:
        ConfigurationError, RemoteRefused: no run was started.
        WaitTimeout: one may have been started, or the vendor takes no request in time.
    """
    since = datetime.now(UTC)
    try:
        return start(submit, call.patience)
    except SubmitUnknown as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            call.note(f"{error} {_LOOK_FIRST}")
            raise error.__cause__ from None
        raise _broken_off(error, f"It was not sent again. {_looked_up(call, since)}") from None
    except NotSent as error:
        raise _broken_off(error, "Nothing was paid: check the network and SEGMIND_BASE_URL.") from None
    except RemoteRefused as error:
        raise RemoteRefused(" ".join(filter(None, (str(error), _said(error, call))))) from None
    except Sam3dError as error:
        raise _broken_off(error, " ".join(filter(None, (_said(error, call), "Nothing was paid.")))) from None


def _said(error: Sam3dError, call: Call) -> str:
    """Quote the vendor, if he said why."""
    words = quoted(error.said, call.parameters)
    return f"{SAYS} {words.rstrip('.')}." if words else ""


_LOOK_FIRST = "Look at the request history of your account with the vendor before you call again."


def _looked_up(call: Call, since: datetime) -> str:
    """Show which runs may be the one that a submit started; say what to do."""
    try:
        found = [] if call.settings.history.mode == "off" else _runs_like(call, since)
    except (HistoryMissing, RemoteUnavailable, AccountHeld):
        return f"Its request history can't be asked from here. {_LOOK_FIRST}"
    for row in found:
        at = brief(row.created_at)
        resumed = call.resumed_by(row.request_id)
        call.note(
            f"Run {row.request_id}, {row.status.lower()}, of {at}, may be it: {resumed} gets its model, for free."
        )
    return "See the runs above that may be it." if found else f"No run that may be it is listed yet. {_LOOK_FIRST}"


def _runs_like(call: Call, since: datetime) -> Sequence[Listed]:
    call.patience.tell("looking into the request history")
    return runs_like(call.vendor, call.parameters, since, datetime.now(UTC))


_BECOMES: tuple[tuple[tuple[type[Exception], ...], type[Sam3dError]], ...] = (
    ((AccountHeld, NotSent), ConfigurationError),
    ((SubmitUnknown, WaitTimeout), WaitTimeout),
    ((Exception,), Sam3dError),
)
"""What an error is told as, which decides the exit code: an account or an address is a setting of ours."""


def _broken_off(error: Sam3dError | OSError, what_now: str) -> Sam3dError:
    """Return what is told of an error: what happened and what to do."""
    kind = next(becomes for kinds, becomes in _BECOMES if isinstance(error, kinds))
    sentence = f"{error.filename or 'The file'}: {error.strerror}." if isinstance(error, OSError) else str(error)
    return kind(f"{sentence} {what_now}")
