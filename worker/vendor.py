"""Submit, poll, fetch: the vendor's API as typed answers and our errors. What an HTTP status means is one table.

Facts are from the model's API page and the vendor's documentation; nothing the vendor sends is trusted, and
neither the key nor a body ever becomes part of an error.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import httpx

from worker.config import Settings
from worker.errors import (
    AccountHeld,
    HoldCause,
    NotSent,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    SubmitUnknown,
)
from worker.network import create_client, deadline

MODEL = "sam-3d-objects"
MAX_ANSWER_BYTES = 2**20
MAX_ADDRESSES = 16
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")


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
        is_server_error=answer.code >= 500,
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

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, UnicodeError)
"""After these no byte of a request has left. After any other error of httpx a submit's fate is unknown."""


class Vendor:
    """The vendor's API over one client for reads and one, without kept connections, for submits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = settings.segmind_base_url.rstrip("/")
        self._reads = create_client(connections=settings.sam3d_concurrency)
        # A kept-alive connection that the server just closed looks like an unknown submit.
        self._submits = create_client(connections=settings.sam3d_concurrency, is_kept_alive=False)

    def submit(self, parameters: Mapping[str, Any]) -> Submitted:
        """Start a paid run.

        Raises:
            RemoteRefused, RemoteRateLimited, AccountHeld, NotSent: no run was started.
            SubmitUnknown: a run may have been started.
        """
        answer = self._post(f"/v2/{MODEL}", parameters, MAX_ANSWER_BYTES)
        request_id = (answer.parsed() or {}).get("request_id")
        if not isinstance(request_id, str) or not _ID.fullmatch(request_id):
            raise SubmitUnknown("The vendor accepted the submit but gave no request id that can be followed.")
        return Submitted(request_id)

    def generate(self, parameters: Mapping[str, Any]) -> bytes:
        """Make a paid run with the older blocking call and return the model's bytes; raises as ``submit``.

        The vendor keeps it in maintenance mode: nobody can tell later what an answer that was lost had cost.
        """
        return self._post(f"/v1/{MODEL}", parameters, self._settings.sam3d_max_output_bytes).body

    def _post(self, path: str, parameters: Mapping[str, Any], max_bytes: int) -> Answer:
        with deadline(self._settings.sam3d_submit_deadline):
            try:
                answer = self._call(self._submits, "POST", path, max_bytes, json=dict(parameters))
            except NOT_SENT as error:
                raise NotSent(f"The submit was not sent ({type(error).__name__}).") from None
            except (httpx.HTTPError, _TooLarge) as error:
                raise SubmitUnknown(
                    f"The submit has no readable answer ({type(error).__name__}): a run may have been started."
                ) from None
        if answer.code != httpx.codes.OK:
            raise ON_SUBMIT.get(answer.code, _unknown)(answer)
        return answer

    def status(self, request_id: str) -> RunStatus:
        """Look at a run. A FAILED one is served with 422 and is an answer, not an error.

        Raises:
            RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
        """
        return _run_status(self._read(f"/v2/requests/{request_id}/status"))

    def result(self, request_id: str) -> RunResult:
        """Read the final body of a run; raises as ``status``."""
        body = self._read(f"/v2/requests/{request_id}")
        found = [*_addresses(body.get("output")), *filter(_is_file, _addresses(dict(body)))]
        return RunResult(_run_status(body), tuple(dict.fromkeys(found))[:MAX_ADDRESSES])

    def credits(self) -> float:
        """Read the balance, USD; free of charge. Raises as ``status``."""
        body = self._read("/v1/get-user-credits")
        numbers = _numbers(body)
        return numbers.get("credits", 0.0) + numbers.get("free-credits", 0.0)

    def _read(self, path: str) -> Mapping[str, Any]:
        with deadline(self._settings.sam3d_read_deadline):
            try:
                answer = self._call(self._reads, "GET", path, MAX_ANSWER_BYTES)
            except (httpx.HTTPError, _TooLarge, UnicodeError) as error:
                raise RemoteUnavailable(f"A read has no usable answer ({type(error).__name__}).") from None
        body = answer.parsed()
        is_failed_run = answer.code == httpx.codes.UNPROCESSABLE_ENTITY and "status" in (body or {})
        if body is None or not (answer.code == httpx.codes.OK or is_failed_run):
            raise ON_READ.get(answer.code, _unavailable)(answer)
        return body

    def _call(self, client: httpx.Client, method: str, path: str, max_bytes: int, **more: Any) -> Answer:
        headers = {"x-api-key": self._key(), "content-type": "application/json"}
        with client.stream(method, self._base + path, headers=headers, **more) as response:
            body = b"".join(_capped(response, max_bytes))
            return Answer(response.status_code, body, _reset_at(response.headers.get("x-rate-limit-reset-at-utc")))

    def _key(self) -> str:
        """Return the key; a file is read at each call, so that a rotated key needs no restart.

        Raises:
            AccountHeld: it can't be read, or is nothing that a header can hold; nothing was sent.
        """
        path, key = self._settings.segmind_api_key_file, self._settings.segmind_api_key
        try:
            text = path.read_text("ascii") if path else key.get_secret_value() if key else ""
        except (OSError, UnicodeError) as error:
            why = f"SEGMIND_API_KEY_FILE can't be read ({type(error).__name__})."
            raise AccountHeld(HoldCause.KEY, why) from None
        text = text.strip()
        if not (text.isascii() and text.isprintable()):
            raise AccountHeld(HoldCause.KEY, "The key has characters that no key has; set SEGMIND_API_KEY again.")
        return text

    def close(self) -> None:
        """Close the connections."""
        self._reads.close()
        self._submits.close()


class _TooLarge(Exception):  # Never leaves this module.
    """A body went over its cap."""


def _capped(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    for chunk in response.iter_raw():
        left -= len(chunk)
        if left < 0:
            raise _TooLarge
        yield chunk


def _run_status(body: Mapping[str, Any]) -> RunStatus:
    metrics, error = body.get("metrics"), body.get("error")
    numbers = _numbers(metrics) if isinstance(metrics, dict) else {}
    return RunStatus(RemoteStatus.of(body.get("status")), numbers, error if isinstance(error, str) else None)


def _numbers(body: Mapping[str, Any]) -> dict[str, float]:
    """Keep what is a number of a reasonable size, and not too many of them."""
    numbers = [(name, value) for name, value in body.items() if _is_number(value) and _NAME.fullmatch(name)]
    return dict(numbers[:32])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _addresses(value: object, depth: int = 4) -> Iterator[str]:
    """Find the URLs in an output: a string, a list, an object, or none at all."""
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        yield value
    elif isinstance(value, dict | list) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from _addresses(each, depth - 1)


def _is_file(address: str) -> bool:
    """Tell an output beside ``output``, such as the ZIP of artifacts, from the other addresses in a body."""
    return address.split("?", maxsplit=1)[0].endswith((".glb", ".zip"))


def _reset_at(text: str | None) -> datetime | None:
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
