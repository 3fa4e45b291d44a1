"""Pure: the vendor's answers as typed values; ``refusals`` has what the others mean.

Facts are from the model's API page and the vendor's documentation. Nothing the vendor sends is trusted.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from worker.errors import RemoteUnavailable, SubmitUnknown
from worker.places import LONGEST_ADDRESS
from worker.rules.addresses import find_addresses, find_beside, first_of
from worker.rules.request_id import canonical_id, is_request_id
from worker.rules.run import FAILED_RUN, OK, RemoteStatus, RunResult, RunStatus, Submitted
from worker.vendor.received import Answer
from worker.vendor.refusals import refused_read, refused_submit
from worker.vendor.verbatim import kept

ACCEPTED = {200, 201, 202}
"""What accepts a submit, if it gives a request id."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_submitted(answer: Answer) -> Submitted:
    """Read the answer to a submit.

    Raises:
        SubmitUnknown: it was accepted without an id, or nobody knows.
        RemoteRefused, RemoteRateLimited, AccountHeld: no run was started.
    """
    require_accepted(answer)
    request_id = (answer.parsed() or {}).get("request_id")
    if not is_request_id(request_id):
        raise SubmitUnknown("The vendor accepted the submit but gave no request id that can be followed.", answer.code)
    return Submitted(str(request_id), answer.code, answer.dated_at)


def require_accepted(answer: Answer) -> None:
    """Raise what a submit's answer means, unless it was accepted."""
    if answer.code not in ACCEPTED:
        raise refused_submit(answer)


def read_body(answer: Answer) -> Mapping[str, Any]:
    """Read the answer to a read. A FAILED run is served with 422 and is an answer, not an error.

    Raises:
        RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
    """
    body = answer.parsed()
    is_failed_run = answer.code == FAILED_RUN and "status" in (body or {})
    if body is None or not (answer.code == OK or is_failed_run):
        raise refused_read(answer)
    return body


def read_status(answer: Answer, request_id: str) -> RunStatus:
    """Read the status of a run; raises as :func:`read_body`, and where it is another run's."""
    return _status(_own(answer, request_id), answer.dated_at)


def _status(body: Mapping[str, Any], answered_at: datetime | None) -> RunStatus:
    metrics, error = body.get("metrics"), body.get("error")
    numbers = read_numbers(metrics) if isinstance(metrics, dict) else {}
    word, sentence = RemoteStatus.of(body.get("status")), error if isinstance(error, str) else None
    return RunStatus(word, numbers, sentence, answered_at)


def _own(answer: Answer, request_id: str) -> Mapping[str, Any]:
    """Return the body of a read, if it is about this run.

    One that does not say whose it is may tell that a run goes on, since that is asked again; never that it failed.
    """
    body = read_body(answer)
    named = whose(body)
    if named is None and RemoteStatus.of(body.get("status")) is not RemoteStatus.FAILED:
        return body
    if named is None or canonical_id(named) != canonical_id(request_id):
        raise RemoteUnavailable("The vendor's answer is another request's, or does not say whose it is.")
    return body


def whose(body: Mapping[str, Any]) -> str | None:
    """Return the id of the run that a body is about: by its name, else as its links have it."""
    if body.get("request_id") is not None:
        return str(body["request_id"])
    links = [link for name in ("status_url", "response_url") if isinstance(link := body.get(name), str)]
    found = next((match for link in links if (match := _LINKED.search(link[:LONGEST_ADDRESS]))), None)
    return found[1] if found else None


_LINKED = re.compile(r"/requests/([^/?#]+)")


def read_numbers(body: Mapping[str, Any]) -> dict[str, float]:
    """Keep what is a number, and not too many of them; one of money or time that is negative is none."""
    numbers = {name: number for name, value in body.items() if (number := read_number(value)) is not None}
    named = [(name, number) for name, number in numbers.items() if _NAME.fullmatch(name)]
    return {name: number for name, number in named[:MOST_NUMBERS] if number >= 0 or name not in _NEVER_NEGATIVE}


def read_number(value: object) -> float | None:
    """Return a number of a size that one of money, time or count can have; anything else is None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < MOST else None


MOST = 1e9
MOST_NUMBERS = 32
_NEVER_NEGATIVE = {"cost", "inference_time", "queue_time", "total_time", "retry_count"}


def read_result(answer: Answer, request_id: str) -> RunResult:
    """Read the final body of a run: the addresses in ``output``, and those of files beside it; raises as a status.

    Of one that completed the body is kept.

    Files are kept only of a body that says whose they are. One that has an output is of a run that is over, under
    whatever word that nobody knows.
    """
    body = _own(answer, request_id)
    run = _status(body, answer.dated_at)
    if whose(body) is None:
        return RunResult(run, ())
    made = list(find_addresses(body.get("output")))
    if made and run.status is RemoteStatus.UNRECOGNISED:
        run = replace(run, status=RemoteStatus.COMPLETED)
    beside = {name: value for name, value in body.items() if name not in _INPUTS}
    found = [*made, *find_beside(beside, made)]
    is_kept = run.status is RemoteStatus.COMPLETED
    return RunResult(run, first_of(found), kept(body, "result") if is_kept else None)


_INPUTS = {"image", "mask", "input", "inputs", "parameters", "request_body", "output"}
"""What a body may echo, beside what the run made."""
