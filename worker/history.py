"""Pure: the vendor's request history as typed rows, and what it says of a submit that got no answer.

Its calls and fields are known from the vendor's SDK alone, so nothing about a page is taken for granted.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from worker.answers import OK, Answer, RemoteStatus, is_request_id, read_addresses
from worker.errors import HistoryMissing, RemoteUnavailable

CLOCKS_DIFFER = timedelta(minutes=2)
"""How far the vendor's clock may be from the database's."""

NO_LATER_SUBMIT = "no later submit is listed with its inputs as sent"
"""All that is missing where nothing else was submitted since."""

_DEFAULTS: Mapping[str, object] = {
    "image": None,
    "mask": None,
    "prompt": None,
    "bounding_box": None,
    "point_coords": None,
    "seed": 123,
    "include_artifacts": False,
}
"""The parameters of the model's API page; one that was not sent is listed with its default, or not at all."""

_CREATED = ("model_created", "created_at", "created", "timestamp")


@dataclass(frozen=True)
class Listed:
    """A request that the history lists: the rows of all its outputs in one."""

    request_id: str
    created_at: datetime
    status: RemoteStatus
    inputs_sha256: str
    user: str | None
    cost: float | None
    error: str | None = field(repr=False)
    addresses: tuple[str, ...] = field(repr=False)
    model: str | None = None


@dataclass(frozen=True)
class Look:
    """What the history showed: its requests by id, and whether all of the time that was asked for is covered."""

    requests: Mapping[str, Listed]
    is_complete: bool


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
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise HistoryMissing("The request history does not answer with JSON.") from None


_LATER = {401, 403, 408, 425, 429}
"""A key that is refused now is the account's trouble, which ends."""


def digest_inputs(sent: Mapping[str, Any]) -> str:
    """Return what two bodies of the same inputs have in common; a default counts as sent."""
    inputs = {name: default if sent.get(name) is None else sent[name] for name, default in _DEFAULTS.items()}
    return sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _digest(sent: Mapping[str, Any]) -> str:
    try:
        return digest_inputs(sent)
    except (RecursionError, ValueError):  # It is nested too deep to be ours.
        return ""


def read_page(body: object) -> Sequence[Mapping[str, Any]] | None:
    """Return the rows of a page: a bare list, an object that holds one list of objects, or a row; else None."""
    if isinstance(body, dict) and "request_id" in body:
        return [body]
    held = body.values() if isinstance(body, dict) else [body]
    lists = [each for each in held if isinstance(each, list) and all(isinstance(row, dict) for row in each)]
    rows = [[each] for each in held if isinstance(each, dict) and "request_id" in each]
    return (lists or rows)[0] if len(lists or rows) == 1 else None


def read_rows(rows: Iterable[Mapping[str, Any]]) -> Look:
    """Return the requests of some rows; where one lacks what a request needs they are not complete."""
    requests: dict[str, Listed] = {}
    is_complete = True
    for row in rows:
        request = _read_row(row)
        if request is None:
            is_complete = False
        else:
            requests = join(requests, {request.request_id: request})
    return Look(requests, is_complete)


def join(known: Mapping[str, Listed], more: Mapping[str, Listed]) -> dict[str, Listed]:
    """Put two pages together; a request that is on both has the outputs of both."""
    both = {each: _joined(known[each], more[each]) for each in known.keys() & more.keys()}
    return {**known, **more, **both}


def _read_row(row: Mapping[str, Any]) -> Listed | None:
    request_id, created_at, sent = row.get("request_id"), created(row), row.get("request_body")
    if not is_request_id(request_id) or created_at is None:
        return None
    cost, user, error = row.get("credits_deduction"), row.get("user_id"), row.get("error")
    return Listed(
        request_id=str(request_id),
        created_at=created_at,
        status=RemoteStatus.of_history(row.get("model_status")),
        inputs_sha256=_digest(sent) if isinstance(sent, dict) else "",
        model=str(row["model_name"]) if row.get("model_name") is not None else None,
        user=str(user) if user is not None else None,
        cost=cost if isinstance(cost, int | float) else None,
        error=error if isinstance(error, str) else None,
        addresses=read_addresses(row.get("generation_url")),
    )


def _joined(first: Listed, second: Listed) -> Listed:
    addresses = tuple(dict.fromkeys((*first.addresses, *second.addresses)))
    return Listed(**{**vars(first), "addresses": addresses})


def created(row: Mapping[str, Any]) -> datetime | None:
    """Return when the vendor accepted a request, or None where the row does not say."""
    text = next((row[name] for name in _CREATED if isinstance(row.get(name), str)), "")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Sent:
    """A submit of ours that was accepted: what the history must list before it can prove anything absent."""

    request_id: str
    inputs_sha256: str
    is_inline: bool
    intended_at: datetime


@dataclass(frozen=True)
class Doubted:
    """A job whose last submit has no answer, and what is known of that submit."""

    inputs_sha256: str
    is_inline: bool
    first_intended_at: datetime  # Of its submits that may have started a run.
    over_at: datetime  # When the last of them had an outcome, or must have.
    is_over: bool  # The process that made it reported its outcome, or has ended.
    was_absent: bool  # It was absent and submitted again once before.


class Finding(StrEnum):
    """What a look at the history says of a doubted submit."""

    FOUND = "found"  # A run of these inputs is listed that no job has.
    ABSENT = "absent"  # No run was started.
    OPEN = "open"  # It may still be listed, or there is no proof that it would be.


@dataclass(frozen=True)
class Proof:
    """A finding, the run if there is one, and why in words."""

    finding: Finding
    why: str
    request: Listed | None = None


@dataclass(frozen=True)
class Evidence:
    """Everything that a doubted submit is judged by."""

    look: Look
    sent: Sequence[Sent]
    claimed: frozenset[str]
    now: datetime
    settle: timedelta

    @property
    def _own_users(self) -> set[str]:
        users = {self.look.requests[each].user for each in self.claimed if each in self.look.requests}
        return {user for user in users if user is not None}

    def judge(self, doubted: Doubted) -> Proof:
        """Say what became of a submit; "can't tell" is the answer unless everything is proven."""
        if found := self._unclaimed(doubted):
            return Proof(Finding.FOUND, "the history lists a run of these inputs", found)
        gaps = {
            "not all of the history could be read": not self.look.is_complete,
            "what was sent is not known": not doubted.inputs_sha256,
            "the process that sent it lives and has not reported": not doubted.is_over,
            "its row may still land": self.now < doubted.over_at + self.settle,
            "the history lists a run of that time that no submit of ours is known for": self._has_stray(doubted),
            "it was absent once before and was submitted again": doubted.was_absent,
            NO_LATER_SUBMIT: not any(self._proves(each, doubted) for each in self.sent),
        }
        gap = next((why for why, is_so in gaps.items() if is_so), None)
        if gap:
            return Proof(Finding.OPEN, gap)
        return Proof(Finding.ABSENT, "the history lists a later submit and not this one")

    def _unclaimed(self, doubted: Doubted) -> Listed | None:
        """Return the oldest run of these inputs that the submit can have started: equal ones are as good."""
        free = self._free(doubted) if doubted.inputs_sha256 else ()
        fitting = [each for each in free if each.inputs_sha256 == doubted.inputs_sha256]
        return min(fitting, key=lambda each: each.created_at, default=None)

    def _free(self, doubted: Doubted) -> Sequence[Listed]:
        """Return our runs of the time of the submit that no job has."""
        own = self._own_users
        first, last = doubted.first_intended_at - CLOCKS_DIFFER, doubted.over_at + CLOCKS_DIFFER
        return [
            each
            for each in self.look.requests.values()
            if each.request_id not in self.claimed
            and first <= each.created_at <= last
            and (not own or each.user is None or each.user in own)
        ]

    def _has_stray(self, doubted: Doubted) -> bool:
        """Tell whether a run is listed that may be this one in another writing: nobody else is known to have it."""
        ours = {each.request_id for each in self.sent}
        models = {self.look.requests[each].model for each in ours if each in self.look.requests}
        free = [each for each in self._free(doubted) if each.request_id not in ours]
        return any(not models or each.model in models for each in free)

    def _proves(self, sent: Sent, doubted: Doubted) -> bool:
        """Tell whether a later submit is listed as and when it was sent, so that this one would be listed as well."""
        listed = self.look.requests.get(sent.request_id)
        return (
            listed is not None
            and sent.intended_at >= doubted.over_at
            and sent.is_inline == doubted.is_inline
            and listed.inputs_sha256 == sent.inputs_sha256
            and abs(listed.created_at - sent.intended_at) <= CLOCKS_DIFFER
        )
