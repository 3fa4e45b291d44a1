"""Submit, poll, fetch: the calls to the vendor's API, each within its deadline and its cap.

The key never becomes part of an error. What answers mean is in ``answers``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from worker.answers import (
    Answer,
    RunResult,
    RunStatus,
    Submitted,
    read_body,
    read_numbers,
    read_reset,
    read_result,
    read_status,
    read_submitted,
    require_accepted,
)
from worker.config import Settings
from worker.errors import AccountHeld, HoldCause, NotSent, RemoteUnavailable, SubmitUnknown
from worker.network import create_client, deadline

MODEL = "sam-3d-objects"
MAX_ANSWER_BYTES = 2**20

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
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
        return read_submitted(self._post(f"/v2/{MODEL}", parameters, MAX_ANSWER_BYTES))

    def generate(self, parameters: Mapping[str, Any]) -> bytes:
        """Make a paid run with the older blocking call and return the model's bytes; raises as ``submit``.

        The vendor keeps it in maintenance mode: nobody can tell later what an answer that was lost had cost.
        """
        answer = self._post(f"/v1/{MODEL}", parameters, self._settings.sam3d_max_output_bytes)
        require_accepted(answer)
        return answer.body

    def _post(self, path: str, parameters: Mapping[str, Any], max_bytes: int) -> Answer:
        with deadline(self._settings.sam3d_submit_deadline):
            try:
                return self._call(self._submits, "POST", path, max_bytes, json=dict(parameters))
            except NOT_SENT as error:
                raise NotSent(f"The submit was not sent ({type(error).__name__}).") from None
            except (httpx.HTTPError, _TooLarge, UnicodeError) as error:
                raise SubmitUnknown(
                    f"The submit has no readable answer ({type(error).__name__}): a run may have been started."
                ) from None

    def status(self, request_id: str) -> RunStatus:
        """Look at a run. A FAILED one is served with 422 and is an answer, not an error.

        Raises:
            RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
        """
        return read_status(self._read(f"/v2/requests/{request_id}/status"))

    def result(self, request_id: str) -> RunResult:
        """Read the final body of a run; raises as ``status``."""
        return read_result(self._read(f"/v2/requests/{request_id}"))

    def credits(self) -> float:
        """Read the balance, USD; free of charge. Raises as ``status``."""
        numbers = read_numbers(self._read("/v1/get-user-credits"))
        return numbers.get("credits", 0.0) + numbers.get("free-credits", 0.0)

    def _read(self, path: str) -> Mapping[str, Any]:
        with deadline(self._settings.sam3d_read_deadline):
            try:
                answer = self._call(self._reads, "GET", path, MAX_ANSWER_BYTES)
            except (httpx.HTTPError, _TooLarge, UnicodeError) as error:
                raise RemoteUnavailable(f"A read has no usable answer ({type(error).__name__}).") from None
        return read_body(answer)

    def _call(self, client: httpx.Client, method: str, path: str, max_bytes: int, **more: Any) -> Answer:
        headers = {"x-api-key": self._key(), "content-type": "application/json"}
        with client.stream(method, self._base + path, headers=headers, **more) as response:
            body = b"".join(_capped(response, max_bytes))
            return Answer(response.status_code, body, read_reset(response.headers.get("x-rate-limit-reset-at-utc")))

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
