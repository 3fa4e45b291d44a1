"""Pure: the vendor's request history as typed rows, with a mark for each input in place of what it is.

Its calls and fields are known from the vendor's SDK alone, so nothing about a page is taken for granted.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from worker.errors import HistoryMissing, RemoteUnavailable
from worker.rules.addresses import read_addresses
from worker.rules.presigned import FILES, mark_of_place
from worker.rules.request_id import is_request_id
from worker.rules.run import DEFAULTS, OK, Inputs, Listed, Look, RemoteStatus, RunResult, RunStatus
from worker.rules.untrusted import DOCUMENT, read_json
from worker.vendor.answers import read_numbers
from worker.vendor.body import base64_pieces, length_of_base64, write_body
from worker.vendor.received import Answer, read_time
from worker.vendor.verbatim import kept

_LONG = 100  # Characters: what a history cuts, or keeps elsewhere, is longer.


_SENT = "request_body"
_CREATED = ("model_created", "created_at", "created", "timestamp")


def read_history(answer: Answer) -> object:
    """Read an answer of the account host, which is another host than the API's and known from the SDK alone.

    Raises:
        HistoryMissing: it does not answer as known.
        RemoteUnavailable: it does not answer now.
    """
    if answer.code >= 500 or answer.code in _LATER:
        raise RemoteUnavailable(f"The request history answers {answer.code}.")
    if answer.code != OK:
        raise HistoryMissing(f"The request history answers {answer.code}.")
    try:
        return read_json(answer.body, DOCUMENT)
    except ValueError:
        raise HistoryMissing("The request history does not answer with JSON.") from None


_LATER = {401, 403, 408, 425, 429}
"""A key that is refused now is the account's trouble, which ends."""


def mark_inputs(sent: Mapping[str, Any]) -> Inputs:
    """Return the marks of a body's inputs, by which they are told apart without being kept."""
    return {name: _mark(sent[name]) for name, default in DEFAULTS.items() if sent.get(name) not in (None, default)}


def _mark(value: object) -> str:
    if isinstance(value, bytes):
        return f"{'long' if length_of_base64(value) > _LONG else 'text'}:{_digest(base64_pieces(value))}"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    of = "url" if _is_address(value) else "long" if len(text) > _LONG else "text" if isinstance(value, str) else "value"
    return f"{of}:{_digest([text.encode('utf-8', 'surrogatepass')])}"


def _digest(pieces: Iterable[bytes]) -> str:
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _marks(sent: object) -> Inputs | None:
    try:
        return mark_inputs(sent) if isinstance(sent, dict) else None
    except (RecursionError, ValueError):  # It is nested too deep to be ours.
        return None


def _places(sent: object) -> Inputs:
    """Return where the files that a row shows by a URL are."""
    shown = sent if isinstance(sent, dict) else {}
    return {name: mark_of_place(shown[name]) for name in FILES if _is_address(shown.get(name))}


def _is_address(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def digest_inputs(sent: Mapping[str, Any]) -> str:
    """Return what two bodies of the same inputs have in common; workers of the last release compare by it."""
    inputs = {name: default if sent.get(name) is None else sent[name] for name, default in sorted(DEFAULTS.items())}
    return _digest(write_body(inputs))


def read_page(body: object) -> Sequence[Mapping[str, Any]] | None:
    """Return the rows of a page: a bare list, an object that holds one list of objects, or a row; else None."""
    if isinstance(body, dict) and "request_id" in body:
        return [body]
    held = body.values() if isinstance(body, dict) else [body]
    lists = [each for each in held if isinstance(each, list) and all(isinstance(row, dict) for row in each)]
    rows = [[each] for each in held if isinstance(each, dict) and "request_id" in each]
    return (lists or rows)[0] if len(lists or rows) == 1 else None


def read_rows(rows: Iterable[Mapping[str, Any]], *, keeps_rows: bool = False) -> Look:
    """Return the requests of some rows; where one lacks what a request needs they are not complete.

    Rows are kept as they came where there are few: a page has some MB of what was sent.
    """
    requests: dict[str, Listed] = {}
    is_complete = True
    for row in rows:
        request = _read_row(row, keeps_rows=keeps_rows)
        if request is None:
            is_complete = False
        else:
            requests = join(requests, {request.run: request})
    return Look(requests, is_complete)


def join(known: Mapping[str, Listed], more: Mapping[str, Listed]) -> dict[str, Listed]:
    """Put two pages together; a request that is on both has the outputs of both."""
    both = {each: _joined(known[each], more[each]) for each in known.keys() & more.keys()}
    return {**known, **more, **both}


def _read_row(row: Mapping[str, Any], *, keeps_rows: bool) -> Listed | None:
    request_id, created_at = row.get("request_id"), created(row)
    if not is_request_id(request_id) or created_at is None:
        return None
    error = row.get("error")
    return Listed(
        request_id=str(request_id),
        created_at=created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC),
        has_zone=created_at.tzinfo is not None,
        status=RemoteStatus.of_history(row.get("model_status")),
        inputs=_marks(row.get(_SENT)),
        model=_name(row.get("model_name")),
        user=_name(row.get("user_id")),
        cost=read_numbers({"cost": row.get("credits_deduction")}).get("cost"),
        error=error if isinstance(error, str) else None,
        addresses=read_addresses(row.get("generation_url")),
        rows=({name: each for name, each in row.items() if name != _SENT},) if keeps_rows else (),
        places=_places(row.get("request_body")),
    )


def as_result(listed: Listed) -> RunResult:
    """Return what the history says of a run in place of the API, which forgets it sooner."""
    run = RunStatus(listed.status, read_numbers({"cost": listed.cost}), listed.error)
    return RunResult(run, listed.addresses, body_of(listed))


def body_of(listed: Listed) -> Mapping[str, Any] | None:
    """Return what is kept in place of a result's body, of a run that completed."""
    is_kept = listed.rows and listed.status is RemoteStatus.COMPLETED
    return kept(listed.rows, "history") if is_kept else None


def _joined(first: Listed, second: Listed) -> Listed:
    addresses = tuple(dict.fromkeys((*first.addresses, *second.addresses)))
    return Listed(**{**vars(first), "addresses": addresses, "rows": (*first.rows, *second.rows)})


def created(row: Mapping[str, Any]) -> datetime | None:
    """Return when the vendor accepted a request, without a zone where it gives none; None where it does not say."""
    return read_time(next((row[name] for name in _CREATED if isinstance(row.get(name), str)), ""))


def _name(value: object) -> str | None:
    """Return what a row names, of which the beginning tells it from others."""
    return None if value is None else str(value)[:_LONG]
