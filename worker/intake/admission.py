"""Pure: what a task message must be, and what Celery gets of it: a few of its headers, and arguments that were checked.

Celery acts on whatever its ``Context`` has, and takes that from the headers as well as from the body ("Message
Protocol" in its documentation): workflows, times, limits. A worker would publish what a sender wants, hold a message in
its memory, drop it, or stop.
"""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from worker.broker.frames import UNREADABLE
from worker.broker.topology import RECONSTRUCT_TASK, queue_name
from worker.intake.request import given_job_id
from worker.rules.asks import ASK_TASKS
from worker.rules.lifecycle import Step
from worker.rules.untrusted import Unreadable, read_json

_WORKFLOW = "it is part of a workflow"
_LIMIT = "it has a time limit"

HEADERS: Mapping[str, type | str | None] = {
    "lang": str,
    "task": str,
    "id": str,
    "root_id": str,
    "parent_id": str,
    "group": str,
    "group_index": int,
    "origin": str,
    "shadow": str,
    "retries": int,
    "callbacks": _WORKFLOW,
    "errbacks": _WORKFLOW,
    "chain": _WORKFLOW,
    "chord": _WORKFLOW,
    "timelimit": _LIMIT,
    "time_limit": _LIMIT,
    "soft_time_limit": _LIMIT,
    "eta": "it has an eta or a countdown",
    "expires": "it expires",
    # Written by each producer, and of no use here: we log no arguments, keep no results and revoke by no stamp.
    "argsrepr": None,
    "kwargsrepr": None,
    "ignore_result": None,
    "replaced_task_nesting": None,
    "stamped_headers": None,
    "stamps": None,
    # Names of Celery's that no producer writes: a worker knows them by itself.
    "args": None,
    "kwargs": None,
    "called_directly": None,
    "compression": None,
    "correlation_id": None,
    "delivery_info": None,
    "headers": None,
    "hostname": None,
    "is_eager": None,
    "logfile": None,
    "loglevel": None,
    "properties": None,
    "reply_to": None,
    "taskset": None,
    "utc": None,
}
"""Each header that Celery knows: passed on where it is of this type, refused for this reason, or (None) left out.

Headers of other names are left out as well.
"""

_NOTHING: tuple[object, ...] = (None, [], [None, None])
"""What a producer writes who asks for none of it."""

LONGEST_HEADER = 255

SENT = (RECONSTRUCT_TASK, *ASK_TASKS)
"""The tasks that senders send: a request, and the asks about a job."""

TASKS = (*SENT, *(queue_name(step) for step in Step))


def passed_on(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers that Celery gets."""
    return {name: each for name, each in headers.items() if isinstance(HEADERS.get(name), type) and each is not None}


def is_sent(headers: Mapping[str, Any]) -> bool:
    """Tell what a sender sends, a request or an ask, from the message of a step."""
    return headers.get("task") in SENT


def require_admissible(headers: Mapping[str, Any], content_type: str | None) -> None:
    """Check what is around the body of a task message that came over the wire.

    Raises:
        Unreadable: Celery may not have it; says why.
    """
    if why := headers.get(UNREADABLE) or _why_refused(headers, content_type):
        raise Unreadable(str(why))


def _why_refused(headers: Mapping[str, Any], content_type: str | None) -> str | None:
    has_id = isinstance(headers.get("id"), str) and bool(headers["id"])
    problems = {
        "it has no task id": not has_id,
        "its task is unknown": headers.get("task") not in TASKS,
        "its content type is not application/json": content_type != "application/json",
        "its number of retries is wrong": type(headers.get("retries", 0)) is not int,
    }
    wrong = (why for name, each in headers.items() if (why := _why_wrong(name, each)))
    return next((why for why, is_so in problems.items() if is_so), None) or next(wrong, None)


def _why_wrong(name: str, value: object) -> str | None:
    match HEADERS.get(name):
        case str() as why:
            return None if value in _NOTHING else f"{why} (header `{name}`)"
        case type() as kind if value is not None:
            if type(value) is not kind:
                return f"its header `{name}` is not {_KINDS[kind]}"
            is_long = isinstance(value, str) and len(value) > LONGEST_HEADER
            return f"its header `{name}` is longer than {LONGEST_HEADER} characters" if is_long else None
    return None


_KINDS = {str: "text", int: "a whole number"}


def read_arguments(task: str, body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Read what a task is called with, from ``[args, kwargs, embed]``.

    Raises:
        Unreadable: it is not that, is part of a workflow, or is not what the task takes.
    """
    match read_json(body):
        case [list() as args, dict() as fields, dict() | None as embedded]:
            if any((embedded or {}).values()):
                raise Unreadable(_WORKFLOW)
        case _:
            raise Unreadable("the body is not [args, kwargs, embed]")
    if task in SENT and "self" in fields:
        raise Unreadable("it has an argument `self`")
    if task not in SENT and not _is_step_ticket(args, fields):
        raise Unreadable("it does not name a version of a job")
    if b"__type__" in body:
        return [_revived(each) for each in args], {name: _revived(each) for name, each in fields.items()}
    return args, fields


def _is_step_ticket(args: list[Any], fields: dict[str, Any]) -> bool:
    """Tell whether a step's message has what our workers give it, and nothing else."""
    job_id, version = fields.get("job_id"), fields.get("version")
    is_uuid = given_job_id({"job_id": job_id}) is not None
    return (
        not args and set(fields) == {"job_id", "version"} and is_uuid and type(version) is int and 0 < version < 2**31
    )


def _revived(value: Any) -> Any:
    """Return a value with the UUIDs and dates in it as text, which Celery's encoder writes as ``__type__``.

    Raises:
        Unreadable: it has anything else of that form.
    """
    match value:
        case {"__type__": kind, "__value__": written, **rest} if not rest:
            return _text_of(kind, written)
        case dict():
            return {name: _revived(each) for name, each in value.items()}
        case list():
            return [_revived(each) for each in value]
    return value


def _text_of(kind: object, written: object) -> str:
    try:
        match kind, written:
            case "uuid", {"hex": str() as digits, **rest} if not rest:
                return str(UUID(digits))
            case "datetime" | "date" | "time", str():
                _DATES[kind].fromisoformat(written)
                return written
    except ValueError:
        pass
    raise Unreadable("the body holds an object that is neither a UUID nor a date")


_DATES: Mapping[str, type[date | time]] = {"datetime": datetime, "date": datetime, "time": time}
