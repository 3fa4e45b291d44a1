"""The request history of the account host: a row for each output of each request, in pages."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from .jobs import Run
from .rows import has_landed, local, rows_of
from .world import World

MAX_DAYS = 31
_STATUSES = {"COMPLETED", "FAILED", "PENDING"}
_SORTS = {"model_created", "model_name", "credits_deduction"}


class BadQueryError(ValueError):
    """The query can't be answered; the message is for the answer."""


def page(world: World, query: Mapping[str, str], origin: str) -> object:
    """Return one page of the history, wrapped as the settings say.

    Raises:
        BadQueryError: a parameter is out of range.
    """
    number, size = _whole(query, "page", 1, 1, 10**9), _whole(query, "per_page", 20, 1, 100)
    status = _choice(query, "status", _STATUSES, "")
    in_window = _rows_between(world, origin, *_window(world, query))
    rows = [row for row in in_window if status in {"", row["model_status"]} and _matches(row, query)]
    sort_by = _choice(query, "sort_by", _SORTS, "model_created")
    descending = _choice(query, "sort_order", {"asc", "desc"}, "desc") == "desc"
    rows.sort(key=lambda row: row[sort_by], reverse=descending)
    shown = rows[(number - 1) * size : number * size]
    wrapping = world.settings.history_wrapping
    if wrapping == "list":
        return shown
    return {wrapping: shown, "page": number, "per_page": size, "total": len(rows)}


def one(world: World, request_id: str, origin: str) -> dict[str, Any] | None:
    """Return the first row of an own request of any age, if it has landed."""
    run = _own(world, request_id)
    return rows_of(world, run, origin)[0] if run is not None and has_landed(world, run) else None


def _own(world: World, request_id: str) -> Run | None:
    """Return a run by its id; where rows have no dashes, by the id with or without them."""
    run = world.runs.get(request_id)
    if run is not None or not world.settings.history_dashless:
        return run
    return next((each for each in world.runs.values() if each.request_id.replace("-", "") == request_id), None)


def _rows_between(world: World, origin: str, first: date, last: date) -> list[dict[str, Any]]:
    """Return the rows of whole days of the account host's own zone, both ends included."""
    settings = world.settings
    own = [
        row
        for run in world.runs.values()
        if first <= local(settings, run.submitted_at).date() <= last and has_landed(world, run)
        for row in rows_of(world, run, origin)
    ]
    foreign = [row for row in world.foreign_rows if first <= _day_of(row) <= last]
    return own + foreign


def _day_of(row: dict[str, Any]) -> date:
    """Return the day of a row that was added by hand."""
    return datetime.fromisoformat(str(row["model_created"])).astimezone(UTC).date()


def _matches(row: dict[str, Any], query: Mapping[str, str]) -> bool:
    """Return whether a row is of the user and model asked for."""
    if any(query.get(name, row[name]) != row[name] for name in ("user_id", "user_email")):
        return False
    return query.get("model_name", "") in row["model_name"]


def _window(world: World, query: Mapping[str, str]) -> tuple[date, date]:
    """Return the first and the last day, of its own zone; the last seven days unless told."""
    today = local(world.settings, world.clock.now()).date()
    last = _day(query, "to_date", today)
    first = _day(query, "from_date", last - timedelta(days=7))
    if first > last:
        raise BadQueryError("from_date must not be after to_date")
    if (last - first).days >= MAX_DAYS:  # Both days count.
        raise BadQueryError(f"Date range must not exceed {MAX_DAYS} days")
    return first, last


def _day(query: Mapping[str, str], name: str, otherwise: date) -> date:
    """Return a date parameter."""
    text = query.get(name)
    if text is None:
        return otherwise
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise BadQueryError(f"{name} must be a date of the form YYYY-MM-DD") from error


def _whole(query: Mapping[str, str], name: str, otherwise: int, low: int, high: int) -> int:
    """Return a whole number parameter."""
    text = query.get(name, str(otherwise))
    if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
        raise BadQueryError(f"{name} must be between {low} and {high}")
    return int(text)


def _choice(query: Mapping[str, str], name: str, allowed: set[str], otherwise: str) -> str:
    """Return a parameter that is one of a few words."""
    word = query.get(name, otherwise)
    if word != otherwise and word not in allowed:
        raise BadQueryError(f"{name} must be one of {', '.join(sorted(allowed))}")
    return word
