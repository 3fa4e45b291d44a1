"""Named places where a process can be made to die, freeze or be told to stop, so that tests see what survives it.

Off unless ``SAM3D_FAILPOINTS`` names some: ``submit.taken=kill,publish.confirmed=freeze:3`` (the third time).
"""

import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from worker.errors import ConfigurationError
from worker.log import Log

FAILPOINTS: Mapping[str, str] = {
    "accept.taken": "a request was delivered, nothing is committed",
    "accept.stored": "its photos are where they are kept, no row names them",
    "accept.recorded": "its job is committed, no event is out",
    "accept.announced": "its event is handed over to be published, the submit is not",
    "accept.sent": "the submit is handed over, the request is not acknowledged",
    "ask.taken": "an ask about a job was delivered, nothing is done",
    "ask.done": "what it asks for is committed, its answer is not out",
    "submit.taken": "the intent to pay and what is to be sent are committed, nothing was sent to the vendor",
    "submit.answered": "the vendor answered, the answer is not committed",
    "submit.recorded": "the answer is committed, no event is out",
    "submit.announced": "the event is handed over, the first poll is not",
    "submit.sent": "the first poll is handed over, the submit is not acknowledged",
    "poll.taken": "the lease is committed, the vendor was not asked",
    "poll.answered": "the vendor answered, nothing is committed",
    "poll.recorded": "the status is committed, as its worker does not go on with the fetch, no event is out",
    "poll.announced": "any event is handed over, the next step is not",
    "poll.sent": "the next step is handed over, the poll is not acknowledged",
    "fetch.taken": "the lease is committed, or that of a poll which found the run to be over, nothing was downloaded",
    "fetch.stored": "a file is in its store, no row names it",
    "fetch.answered": "all files are in their store, no row names them",
    "fetch.recorded": "the files, the end and what the poll before found are committed, no event is out",
    "receipt.stored": "a job's receipt is in its store, no row names it, the job's event is not out",
    "fetch.announced": "the event is handed over, the fetch is not acknowledged",
    "publish.taken": "what was committed is about to be published by its worker's thread, nothing of it is out",
    "publish.confirmed": "the broker has events, their rows do not say so",
    "sweep.recorded": "rows are noted as driven again, no message is sent",
    "reconcile.answered": "the request history was read, nothing is committed",
    "reconcile.recorded": "what it says is committed, no message is sent",
}
"""The places, in the order a job travels, each with what is done and what is not."""

ACTIONS: Mapping[str, signal.Signals] = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "stop": signal.SIGTERM,
}
"""What happens to the process there; a frozen one goes on when it gets SIGCONT."""

log = Log(__name__)


@dataclass(frozen=True)
class _Trap:
    action: str
    at: int


_traps: dict[str, _Trap] = {}
_reached: Counter[str] = Counter()


def arm(text: str) -> None:
    """Set the traps that ``SAM3D_FAILPOINTS`` names, in place of those set before.

    Raises:
        ConfigurationError: a place or an action is not known.
    """
    _traps.clear()
    _traps.update(_read(part.strip()) for part in text.split(",") if part.strip())
    if _traps:
        log.warning("failpoints_armed", failpoints=sorted(_traps), next="this is for tests; unset SAM3D_FAILPOINTS")


def _read(part: str) -> tuple[str, _Trap]:
    name, _, how = part.partition("=")
    action, _, at = how.partition(":")
    if name not in FAILPOINTS or action not in ACTIONS or not (at or "1").isdecimal():
        raise ConfigurationError(
            f"SAM3D_FAILPOINTS: `{part}` is not PLACE=ACTION or PLACE=ACTION:N; see `sam3d failpoints`, "
            f"the actions are {', '.join(ACTIONS)}."
        )
    return name, _Trap(action, int(at or "1"))


def reach(name: str) -> None:
    """Go on, unless a trap is set here."""
    if _traps:
        _strike(name)


def _strike(name: str) -> None:
    if name not in _traps:
        return
    _reached[name] += 1
    if _reached[name] == _traps[name].at:
        log.warning("failpoint_struck", failpoint=name, action=_traps[name].action)
        os.kill(os.getpid(), ACTIONS[_traps[name].action])
