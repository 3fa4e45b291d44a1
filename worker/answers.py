"""Pure: what the vendor's answers mean, as typed values and our errors. What an HTTP status means is one table.

Facts are from the model's API page and the vendor's documentation. Nothing the vendor sends is trusted, and no body
ever becomes part of an error.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from worker.errors import (
    AccountHeld,
    HoldCause,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    SubmitUnknown,
)

OK, FAILED_RUN = 200, 422
MAX_ADDRESSES = 16
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class RemoteStatus(StrEnum):
    """The vendor's own states; ``UNRECOGNISED`` is ours, for a word that its documentation does not have."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    UNRECOGNISED = "UNRECOGNISED"

    @classmethod
    def of(cls, word: object) -> "RemoteStatus":
        """Read the vendor's word; one that we do not know is a run that has not ended."""
        return next((known for known in cls if known == word), cls.UNRECOGNISED)

    @classmethod
    def of_history(cls, word: object) -> "RemoteStatus":
        """Read the request history's word, which has one for all that is not over."""
        return cls.PROCESSING if word == "PENDING" else cls.of(word)


@dataclass(frozen=True)
class Submitted:
    """The vendor accepted a paid run."""

    request_id: str


@dataclass(frozen=True)
class RunStatus:
    """One look at a run: its status, and once it is over its metrics, or what went wrong."""

    status: RemoteStatus
    metrics: Mapping[str, float]
    error: str | None


@dataclass(frozen=True)
class RunResult:
    """The final body of a run: as its status, and the addresses of its output files."""

    run: RunStatus
    addresses: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer that was read whole, within its cap."""

    code: int
    body: bytes = field(repr=False)
    reset_at: datetime | None = None

    def parsed(self) -> Mapping[str, Any] | None:
        """Return the body if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def message(self) -> str:
        """Return the vendor's ``error`` sentence, in lower case, for telling its meanings apart."""
        return str((self.parsed() or {}).get("error", "")).lower()


def _held(cause: HoldCause, fix: str) -> Callable[[Answer], Exception]:
    return lambda answer: AccountHeld(cause, f"The vendor answers {answer.code}: {fix}.")


def _limited(answer: Answer) -> Exception:
    return RemoteRateLimited("The vendor answers 429: too many requests this minute.", answer.reset_at)


def _refused(answer: Answer) -> Exception:
    return RemoteRefused(
        f"The vendor refused the parameters ({answer.code}); nothing was paid. Correct them and send a new job."
    )


def _gone(_: Answer) -> Exception:
    return RemoteRequestGone("The vendor no longer knows the request (404): its record lives for one hour.")


def _not_acceptable(answer: Answer) -> Exception:
    """406 has four meanings; only its sentence tells them apart."""
    for pattern, error in NOT_ACCEPTABLE:
        if re.search(pattern, answer.message):
            return error(answer)
    return _refused(answer)


def _unknown(answer: Answer) -> Exception:
    return SubmitUnknown(
        f"The vendor answered the submit with {answer.code}: whether a run was started is not known.",
        answer.code,
    )


def _unavailable(answer: Answer) -> Exception:
    return RemoteUnavailable(f"The vendor answers {answer.code} without a usable body.")


_key = _held(HoldCause.KEY, "the key is missing, wrong or revoked; set SEGMIND_API_KEY to a valid one")
_forbidden = _held(HoldCause.FORBIDDEN, "this account may not call the model; ask the vendor to allow it")
_credits = _held(HoldCause.CREDITS, "the credits are used up; top the account up")
_spend_limit = _held(HoldCause.LIMIT, "the team's spend limit is reached; raise it or wait for the next period")
_no_model = _held(HoldCause.MODEL, "the model is unknown or retired; an update of this service is needed")
_protocol = _held(HoldCause.PROTOCOL, "it does not accept how we call it; check SEGMIND_BASE_URL, else report a bug")

NOT_ACCEPTABLE: tuple[tuple[str, Callable[[Answer], Exception]], ...] = (
    (r"insufficient credits", _credits),
    (r"spend(ing)? limit|quota|^team\b", _spend_limit),
    (r"content.?type", _protocol),
)

ON_SUBMIT: Mapping[int, Callable[[Answer], Exception]] = {
    400: _refused,
    401: _key,
    403: _forbidden,
    404: _no_model,
    405: _protocol,
    406: _not_acceptable,
    410: _no_model,
    429: _limited,
}
"""What a status means when it answers a submit; a status that is not here means that nobody knows."""

ON_READ: Mapping[int, Callable[[Answer], Exception]] = {
    401: _key,
    403: _forbidden,
    404: _gone,
    406: _held(HoldCause.PROTOCOL, "reads are refused; check the account and SEGMIND_BASE_URL"),
    429: _limited,
}
"""What a status means when it answers a read; for one that is not here, the read is made again later."""


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
    return Submitted(str(request_id))


def is_request_id(value: object) -> bool:
    """Tell whether this can be an id of the vendor's, safe to be put into an address."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def require_accepted(answer: Answer) -> None:
    """Raise what a submit's answer means, unless it was accepted."""
    if answer.code != OK:
        raise ON_SUBMIT.get(answer.code, _unknown)(answer)


def read_body(answer: Answer) -> Mapping[str, Any]:
    """Read the answer to a read. A FAILED run is served with 422 and is an answer, not an error.

    Raises:
        RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
    """
    body = answer.parsed()
    is_failed_run = answer.code == FAILED_RUN and "status" in (body or {})
    if body is None or not (answer.code == OK or is_failed_run):
        raise ON_READ.get(answer.code, _unavailable)(answer)
    return body


def read_status(body: Mapping[str, Any]) -> RunStatus:
    """Read the status of a run."""
    metrics, error = body.get("metrics"), body.get("error")
    numbers = read_numbers(metrics) if isinstance(metrics, dict) else {}
    return RunStatus(RemoteStatus.of(body.get("status")), numbers, error if isinstance(error, str) else None)


def read_numbers(body: Mapping[str, Any]) -> dict[str, float]:
    """Keep what is a number of a reasonable size, and not too many of them."""
    numbers = [(name, value) for name, value in body.items() if _is_number(value) and _NAME.fullmatch(name)]
    return dict(numbers[:32])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def read_addresses(value: object) -> tuple[str, ...]:
    """Return the URLs in an output, each once, and not too many."""
    return tuple(dict.fromkeys(_addresses(value)))[:MAX_ADDRESSES]


def _addresses(value: object, depth: int = 4) -> Iterator[str]:
    """Find the URLs in an output: a string, a list, an object, or none at all."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value
    elif isinstance(value, dict | list) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _addresses(each, depth - 1)


def read_result(body: Mapping[str, Any]) -> RunResult:
    """Read the final body of a run: the addresses in ``output``, and those of files beside it."""
    found = [*_addresses(body.get("output")), *filter(_is_file, _addresses(dict(body)))]
    return RunResult(read_status(body), tuple(dict.fromkeys(found))[:MAX_ADDRESSES])


def _is_file(address: str) -> bool:
    """Tell an output beside ``output``, such as the ZIP of artifacts, from the other addresses in a body."""
    return address.split("?", maxsplit=1)[0].endswith((".glb", ".zip"))


def read_reset(text: str | None) -> datetime | None:
    """Read the header of a 429: ISO 8601 or seconds since the epoch; anything else is None."""
    if not text:
        return None
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text) / (1000 if float(text) > 1e11 else 1), UTC)
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
