"""Submit, poll, fetch, look up: the calls to the vendor's API, each within its deadline and its cap.

The key never becomes part of an error. What answers mean is in ``answers``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from worker.config.environment import Settings
from worker.errors import AccountHeld, HistoryMissing, HoldCause, NotSent, RemoteUnavailable, SubmitUnknown
from worker.network import create_client, deadline, has_time
from worker.rules.request_id import canonical_id
from worker.rules.run import Listed, Look, RunResult, RunStatus, Submitted
from worker.vendor.answers import read_body, read_numbers, read_result, read_status, read_submitted, require_accepted
from worker.vendor.body import length_of_body, write_body
from worker.vendor.history import read_history, read_page, read_rows
from worker.vendor.paging import PAGE_SIZES, Reading
from worker.vendor.received import Answer, read_answer, without_key

MODEL = "sam-3d-objects"
MAX_ANSWER_BYTES = 2**20
LARGEST_PAGE_BYTES = 32 * 2**20
MAX_PAGES = 50  # In one turn of a look.
PAGE_TRIES = 3
ONE_DAY = timedelta(days=1)

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""After these no byte of a request has left. After any other error of httpx a submit's fate is unknown."""


class Vendor:
    """The vendor's API over one client for reads and one, without kept connections, for submits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = settings.vendor.base_url.rstrip("/")
        self._account = settings.vendor.account_url.rstrip("/")
        self._reads = create_client(connections=settings.process.concurrency)
        # A kept-alive connection that the server just closed looks like an unknown submit.
        self._submits = create_client(connections=settings.process.concurrency, is_kept_alive=False)

    def submit(self, parameters: Mapping[str, Any]) -> Submitted:
        """Start a paid run; photos among the parameters are bytes, or text as it is sent.

        Raises:
            RemoteRefused, RemoteRateLimited, AccountHeld, NotSent: no run was started.
            SubmitUnknown: a run may have been started.
        """
        return read_submitted(
            self._post(f"/v2/{MODEL}", parameters, MAX_ANSWER_BYTES, self._settings.run.submit_deadline)
        )

    def generate(self, parameters: Mapping[str, Any], within: timedelta) -> Answer:
        """Make a paid run with the older blocking call; the answer's body is the model. Raises as ``submit``.

        The vendor keeps it in maintenance mode, and it names no run that could be looked at.
        """
        answer = self._post(f"/v1/{MODEL}", parameters, self._settings.storage.max_output_bytes, within)
        require_accepted(answer)
        return answer

    def _post(self, path: str, parameters: Mapping[str, Any], max_bytes: int, within: timedelta) -> Answer:
        # Without its length it would be sent in chunks, which some servers refuse.
        headers = {"content-length": str(length_of_body(parameters))}
        more: dict[str, Any] = {"content": write_body(parameters), "timeout": _silent_for(within)}
        with deadline(within):
            try:
                return self._call(self._submits, "POST", self._base + path, max_bytes, headers, **more)
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
        return read_status(self._read(f"/v2/requests/{request_id}/status"), request_id)

    def result(self, request_id: str) -> RunResult:
        """Read the final body of a run; raises as ``status``."""
        return read_result(self._read(f"/v2/requests/{request_id}"), request_id)

    def credits(self) -> float | None:
        """Read the balance, USD, or None where the answer has none; free of charge. Raises as ``status``."""
        numbers = read_numbers(read_body(self._read("/v1/get-user-credits")))
        found = [numbers[name] for name in ("credits", "free-credits") if name in numbers]
        return sum(found) if found else None

    def _read(self, path: str) -> Answer:
        with deadline(self._settings.run.read_deadline):
            try:
                return self._call(self._reads, "GET", self._base + path, MAX_ANSWER_BYTES)
            except (httpx.HTTPError, _TooLarge, UnicodeError) as error:
                raise RemoteUnavailable(f"A read has no usable answer ({type(error).__name__}).") from None

    def listed(self, request_id: str, *, wants_all: bool) -> Listed | None:
        """Look one request of any age up in the request history; ``wants_all`` its outputs, which have a row each.

        Raises:
            HistoryMissing, RemoteUnavailable.
        """
        with deadline(self._settings.run.read_deadline):
            try:
                rows = read_page(self._row(f"/{request_id}", {}))
            except HistoryMissing:  # Where there is a history, a 404 means that it does not list this one.
                self.require_history()
                return None
            found = read_rows(rows or (), keeps_rows=True).requests.get(canonical_id(request_id))
            if found is None or not wants_all or len(found.addresses) > 1:
                return found
            day = self.history(Reading(found.created_at, found.created_at))
            return replace(day.requests.get(found.run, found), rows=found.rows)

    def require_history(self) -> None:
        """Check that the account host has a request history; raises as ``history``."""
        with deadline(self._settings.run.read_deadline):
            _rows(self._row("", {"per_page": 1}))

    def _row(self, path: str, query: Mapping[str, str | int]) -> object:
        try:
            return self._history(path, query, LARGEST_PAGE_BYTES)
        except _TooLarge:
            raise RemoteUnavailable("What the request history answers is too large to be read.") from None

    def history(self, reading: Reading) -> Look:
        """Read on, page by page, until it is over or one look has taken long enough.

        A page that fails is tried again, and left out if it goes on failing: what was read counts all the same.

        Raises:
            HistoryMissing: the account host does not answer as known.
            RemoteUnavailable: it does not answer now.
        """
        with deadline(self._settings.run.read_deadline):
            for number in range(MAX_PAGES):
                if reading.is_over or (number and not has_time()):
                    break
                self._read_on(reading, is_first=not number)
        return reading.look()

    def newest(self, now: datetime, number: int = 1) -> Mapping[str, Listed]:
        """Read the newest requests of the history, one page of them.

        Raises:
            HistoryMissing, RemoteUnavailable.
        """
        query = {**_newest_first(now, now, PAGE_SIZES[0]), "page": number}
        with deadline(self._settings.run.read_deadline):
            return read_rows(_rows(self._row("", query)), keeps_rows=True).requests

    def _read_on(self, reading: Reading, *, is_first: bool) -> None:
        try:
            query = _newest_first(reading.first, reading.began_at, reading.size)
            reading.take(self._page({**query, "page": reading.number}))
        except _TooLarge:
            if not reading.make_smaller():
                reading.leave_out(RemoteUnavailable("A row of the request history is too large to be read."))
        except (HistoryMissing, RemoteUnavailable) as error:
            if is_first or has_time():  # Otherwise it was the time that was too short: the next turn begins with it.
                reading.leave_out(error)

    def _page(self, query: Mapping[str, str | int]) -> Sequence[Mapping[str, Any]]:
        """Read a page, and again where it fails; one that hangs leaves time for the others."""
        for left in reversed(range(PAGE_TRIES)):
            try:
                with deadline(self._settings.run.read_deadline / PAGE_TRIES):
                    return _rows(self._history("", query, LARGEST_PAGE_BYTES))
            except RemoteUnavailable:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _history(self, path: str, query: Mapping[str, str | int], max_bytes: int) -> object:
        url = f"{self._account}/inference-request/request-history{path}"
        try:
            return read_history(self._call(self._reads, "GET", url, max_bytes, params=dict(query)))
        except (httpx.HTTPError, UnicodeError, RecursionError) as error:
            raise RemoteUnavailable(f"The request history has no usable answer ({type(error).__name__}).") from None

    def _call(
        self,
        client: httpx.Client,
        method: str,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        key = self._key()
        headers = {"x-api-key": key, "content-type": "application/json", **(headers or {})}
        with client.stream(method, url, headers=headers, **more) as response:
            body = without_key(b"".join(_capped(response, max_bytes)), key)
            return read_answer(response.status_code, response.headers, body)

    def _key(self) -> str:
        """Return the key; a file is read at each call, so that a rotated key needs no restart.

        Raises:
            AccountHeld: it can't be read, or is nothing that a header can hold; nothing was sent.
        """
        path, key = self._settings.vendor.api_key_file, self._settings.vendor.api_key
        try:
            text = (path.read_text("ascii") if path else key.get_secret_value() if key else "").strip()
        except (OSError, UnicodeError) as error:
            why = f"SEGMIND_API_KEY_FILE can't be read ({type(error).__name__})."
            raise AccountHeld(HoldCause.KEY, why) from None
        if not (text.isascii() and text.isprintable()):
            raise AccountHeld(HoldCause.KEY, "The key has characters that no key has; set SEGMIND_API_KEY again.")
        return text

    def close(self) -> None:
        """Close the connections."""
        self._reads.close()
        self._submits.close()


def _rows(body: object) -> Sequence[Mapping[str, Any]]:
    rows = read_page(body)
    if rows is None:
        raise HistoryMissing("The request history does not answer with rows.")
    return rows


def _newest_first(first: datetime, last: datetime, size: int) -> dict[str, str | int]:
    # Days are whole and their time zone is not known, so one more is asked for on either side.
    return {
        "per_page": size,
        "from_date": (first - ONE_DAY).date().isoformat(),
        "to_date": (last + ONE_DAY).date().isoformat(),
        "sort_by": "model_created",
        "sort_order": "desc",
    }


def _silent_for(within: timedelta) -> httpx.Timeout:
    """Let the vendor be silent for as long as the whole call may take."""
    return httpx.Timeout(within.total_seconds(), connect=5, pool=10)


class _TooLarge(Exception):  # Never leaves this module.
    """A body went over its cap."""


def _capped(response: httpx.Response, max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    for chunk in response.iter_raw():
        left -= len(chunk)
        if left < 0:
            raise _TooLarge
        yield chunk
