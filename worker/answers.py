"""Pure: what the vendor's answers mean, as typed values and our errors. What an HTTP status means is one table.

Facts are from the model's API page and the vendor's documentation. Nothing the vendor sends is trusted, and no body
ever becomes part of an error's sentence.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from worker.errors import (
    AccountHeld,
    HoldCause,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
)

OK, FAILED_RUN = 200, 422
ACCEPTED = {200, 201, 202}
"""What accepts a submit, if it gives a request id."""

MAX_ADDRESSES = 16
LONGEST_ADDRESS = 4096
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
    """The vendor accepted a paid run, at this time by its own clock if it said so."""

    request_id: str
    http_status: int = OK
    answered_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RunStatus:
    """One look at a run: its status, and once it is over its metrics, or what went wrong."""

    status: RemoteStatus
    metrics: Mapping[str, float]
    error: str | None
    answered_at: datetime | None = field(default=None, compare=False)


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
    dated_at: datetime | None = None

    def parsed(self) -> Mapping[str, Any] | None:
        """Return the body if it is a JSON object."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def said(self) -> str | None:
        """Return the vendor's own words for people, which may quote anything."""
        body = self.parsed() or {}
        words = [body[name] for name in _SAID_IN if isinstance(body.get(name), str)]
        return ": ".join(words)[:_MOST_SAID] or None

    @property
    def message(self) -> str:
        """Return its ``error`` sentence in lower case, with one blank between words, for telling meanings apart."""
        sentence = (self.parsed() or {}).get("error")
        return " ".join(sentence[:_MOST_SAID].lower().split()) if isinstance(sentence, str) else ""


_SAID_IN = ("error", "error_description", "message", "detail")
_MOST_SAID = 2_000

Meaning = Callable[[Answer], Sam3dError]


def _held(cause: HoldCause, fix: str, *, is_certain: bool = True) -> Meaning:
    return lambda answer: AccountHeld(cause, f"The vendor answers {answer.code}: {fix}.", is_certain=is_certain)


def _refused_perhaps(cause: HoldCause, fix: str) -> Meaning:
    """Give what a refusal means that may be the account's or this one job's: what others are answered tells."""
    return _held(cause, fix, is_certain=False)


def _limited(answer: Answer) -> Sam3dError:
    return RemoteRateLimited("The vendor answers 429: too many requests this minute.", answer.reset_at)


def _refused(answer: Answer) -> Sam3dError:
    return RemoteRefused(
        f"The vendor refused the request ({answer.code}); nothing was paid. Correct it and send a new job."
    )


def _gone(answer: Answer) -> Sam3dError:
    return RemoteRequestGone("The vendor does not know the request (404).", answer.dated_at)


def _by_sentence(otherwise: Meaning) -> Meaning:
    """Give what a status of several meanings says: its whole sentence tells, never words in one that quotes a job."""

    def meaning(answer: Answer) -> Sam3dError:
        known = (error for is_said, error in SENTENCES if is_said(answer.message))
        return next(known, otherwise)(answer)

    return meaning


def _unknown(answer: Answer) -> Sam3dError:
    return SubmitUnknown(
        f"The vendor answered the submit with {answer.code}: whether a run was started is not known.",
        answer.code,
    )


def _unavailable(answer: Answer) -> Sam3dError:
    return RemoteUnavailable(f"The vendor answers {answer.code} without a usable body.", answer.code)


_key = _refused_perhaps(HoldCause.KEY, "the key is missing, wrong or revoked; set SEGMIND_API_KEY to a valid one")
_forbidden = _refused_perhaps(HoldCause.FORBIDDEN, "this account may not call the model; ask the vendor to allow it")
_no_model = _refused_perhaps(HoldCause.MODEL, "the model is unknown or retired; an update of this service is needed")
_protocol = _refused_perhaps(
    HoldCause.PROTOCOL, "it does not accept how we call it; check SEGMIND_BASE_URL, else report a bug"
)
_NO_CREDITS = "the credits are used up; top the account up"
_credits = _held(HoldCause.CREDITS, _NO_CREDITS)
_spend_limit = _held(HoldCause.LIMIT, "the team's spend limit is reached; raise it or wait for the next period")

_MONEY_WORDS = re.compile(
    r"(?:insufficient|not|enough|out|no|credits?|you|your|have|has|had|only|available|balance|current|currently|account"
    r"|remaining|left|is|are|was|been|of|for|to|the|this|a|request|run|need|needs|needed|require|required|requires|costs?"
    r"|usd|and|but|please|top|up|cap|limit|budget|period|per|days?|month|week|year|daily|weekly|monthly|yearly|hourly"
    r"|resets?|in|on|at|spent|spend|spending|used|team|team's|reached|exceeded)"
)
_NO_OTHER_CHARACTER = re.compile(r"[a-z0-9 .,:;!$()'/-]*")


def _speaks_of(*phrases: str) -> Callable[[str], bool]:
    """Give what tells a sentence that has these phrases and is about money from its first word to its last."""
    wanted = [re.compile(rf"\b(?:{phrase})\b") for phrase in phrases]

    def is_said(sentence: str) -> bool:
        is_about_money = all(_MONEY_WORDS.fullmatch(word) for word in re.findall(r"[a-z']+", sentence))
        is_plain = bool(_NO_OTHER_CHARACTER.fullmatch(sentence))
        return is_plain and is_about_money and all(each.search(sentence) for each in wanted)

    return is_said


def _is(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda sentence: bool(compiled.fullmatch(sentence))


SENTENCES: tuple[tuple[Callable[[str], bool], Meaning], ...] = (
    (_speaks_of("(?:insufficient|not enough|out of|no) credits?"), _credits),
    (_speaks_of("team", "(?:spend|spending|budget) (?:limit|cap)"), _spend_limit),
    (
        _is(
            r"(?:(?:the )?parameter \w+"
            r"|(?:image|mask|prompt|bounding_box|point_coords|seed|include_artifacts))\b.*"
        ),
        _refused,
    ),
)
"""What the answers 402 and 406 say, in lower case; any other sentence may be about the account or one job."""

ON_SUBMIT: Mapping[int, Meaning] = {
    400: _refused,
    401: _key,
    402: _by_sentence(_refused_perhaps(HoldCause.CREDITS, _NO_CREDITS)),
    403: _forbidden,
    404: _no_model,
    405: _protocol,
    406: _by_sentence(_protocol),
    410: _no_model,
    413: _refused,
    415: _refused,
    422: _refused,
    429: _limited,
    451: _refused,
}
"""What a status means when it answers a submit; a status that is not here means that nobody knows."""

ON_READ: Mapping[int, Meaning] = {
    401: _key,
    403: _forbidden,
    404: _gone,
    406: _refused_perhaps(HoldCause.PROTOCOL, "reads are refused; check the account and SEGMIND_BASE_URL"),
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
    return Submitted(str(request_id), answer.code, answer.dated_at)


def is_request_id(value: object) -> bool:
    """Tell whether this can be an id of the vendor's, safe to be put into an address."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def canonical_id(text: str) -> str:
    """Return what two writings of one request id have in common: the vendor was seen to leave out the dashes."""
    return text.replace("-", "").lower()


def require_accepted(answer: Answer) -> None:
    """Raise what a submit's answer means, unless it was accepted."""
    if answer.code not in ACCEPTED:
        raise _told(ON_SUBMIT.get(answer.code, _unknown), answer)


def _told(meaning: Meaning, answer: Answer) -> Sam3dError:
    """Return what an answer means, with what it said."""
    error = meaning(answer)
    error.http_status, error.said = answer.code, answer.said
    return error


def read_body(answer: Answer) -> Mapping[str, Any]:
    """Read the answer to a read. A FAILED run is served with 422 and is an answer, not an error.

    Raises:
        RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
    """
    body = answer.parsed()
    is_failed_run = answer.code == FAILED_RUN and "status" in (body or {})
    if body is None or not (answer.code == OK or is_failed_run):
        raise _told(ON_READ.get(answer.code, _unavailable), answer)
    return body


def read_status(answer: Answer, request_id: str) -> RunStatus:
    """Read the status of a run; raises as :func:`read_body`, and where it is another run's."""
    return _status(_own(answer, request_id, {RemoteStatus.FAILED}), answer.dated_at)


def _status(body: Mapping[str, Any], answered_at: datetime | None) -> RunStatus:
    metrics, error = body.get("metrics"), body.get("error")
    numbers = read_numbers(metrics) if isinstance(metrics, dict) else {}
    word, sentence = RemoteStatus.of(body.get("status")), error if isinstance(error, str) else None
    return RunStatus(word, numbers, sentence, answered_at)


def _own(answer: Answer, request_id: str, ends: AbstractSet[RemoteStatus]) -> Mapping[str, Any]:
    """Return the body of a read, if it is about this run.

    One that does not say whose it is may tell that a run goes on, since that is asked again; never that it failed.
    """
    body = read_body(answer)
    named = whose(body)
    if named is None and RemoteStatus.of(body.get("status")) not in ends:
        return body
    if named is None or canonical_id(named) != canonical_id(request_id):
        raise RemoteUnavailable("The vendor's answer is another request's, or does not say whose it is.")
    return body


def whose(body: Mapping[str, Any]) -> str | None:
    """Return the id of the run that a body is about: by its name, else as its links have it."""
    if body.get("request_id") is not None:
        return str(body["request_id"])
    links = [link for name in ("status_url", "response_url") if isinstance(link := body.get(name), str)]
    found = next((match for link in links if (match := _LINKED.search(link))), None)
    return found[1] if found else None


_LINKED = re.compile(r"/requests/([^/?#]+)")


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
    if isinstance(value, str):
        if value.startswith(("http://", "https://")) and value.isprintable() and len(value) <= LONGEST_ADDRESS:
            yield value
    elif isinstance(value, dict | list) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _addresses(each, depth - 1)


def read_result(answer: Answer, request_id: str) -> RunResult:
    """Read the final body of a run: the addresses in ``output``, and those of files beside it; raises as a status.

    Files are kept only of a body that says whose they are.
    """
    body = _own(answer, request_id, {RemoteStatus.FAILED})
    run = _status(body, answer.dated_at)
    if whose(body) is None:
        return RunResult(run, ())
    beside = {name: value for name, value in body.items() if name not in _INPUTS}
    found = [*_addresses(body.get("output")), *filter(_is_file, _addresses(beside))]
    return RunResult(run, tuple(dict.fromkeys(found))[:MAX_ADDRESSES])


_INPUTS = {"image", "mask", "input", "inputs", "parameters", "request_body", "output"}
"""What a body may echo, beside what the run made."""


def _is_file(address: str) -> bool:
    """Tell an output beside ``output``, such as the ZIP of artifacts, from the other addresses in a body."""
    return promised(address) in FILES


FILES = {
    "glb", "gltf", "ply", "obj", "stl", "usdz", "splat", "spz", "zip", "png", "jpg", "jpeg", "webp", "json", "npz",
    "mtl", "mp4",
}  # fmt: skip
"""What an address of a file ends in."""


def promised(address: str) -> str:
    """Return what the end of an address says of its file, such as ``glb``, or nothing."""
    last = re.split(r"[?#]", address, maxsplit=1)[0].rpartition("/")[2]
    return last.rpartition(".")[2].lower() if "." in last else ""


def read_date(text: str | None) -> datetime | None:
    """Read the header that says when an answer was given, by the vendor's clock; anything else is None."""
    try:
        parsed = parsedate_to_datetime(text or "")
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return parsed.astimezone(UTC) if parsed.tzinfo and 2000 < parsed.year < 3000 else None


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
