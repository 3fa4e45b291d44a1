"""What one run looks like in the request history, in every form that the settings name."""

import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any

from .answers import MODEL
from .jobs import Run, Status
from .settings import SimulatorSettings
from .world import World

PICTURES = ("image", "mask")
_USER = {"user_id": "00000000-0000-4000-8000-000000000001", "user_email": "you@example.com"}
_COLLEAGUE = {"user_id": "00000000-0000-4000-8000-000000000002", "user_email": "colleague@example.com"}


def rows_of(world: World, run: Run, origin: str) -> list[dict[str, Any]]:
    """Return a run's rows: one, or one for each of several outputs."""
    now = world.clock.now()
    if not run.has_outputs(now, world.settings.history_output_delay_seconds):
        return [_row(world.settings, run, now, origin, None)]
    place = f"{origin}/outputs/{run.output_token}"
    return [_row(world.settings, run, now, origin, f"{place}/{name}") for name in world.output_names(run)]


def foreign_row(given: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return a row of another member of the team, with whatever was not given made up."""
    row: dict[str, Any] = {
        "request_id": "",
        "model_name": MODEL,
        "model_status": "COMPLETED",
        "credits_deduction": 0.0,
        "request_body": {},
        "generation_url": None,
        "latency_ms": None,
        "model_created": now.isoformat(),
        "model_updated": now.isoformat(),
        "error": None,
        **_COLLEAGUE,
    }
    return row | given


def has_landed(world: World, run: Run) -> bool:
    """Return whether a run's rows are visible yet; each run has a lateness of its own."""
    age = (world.clock.now() - run.submitted_at).total_seconds()
    drawn = hashlib.sha256(run.request_id.encode()).digest()[0] / 255
    return age >= world.settings.history_delay_seconds + drawn * world.settings.history_delay_spread_seconds


def local(settings: SimulatorSettings, moment: datetime) -> datetime:
    """Return a moment in the zone that the account host lives in."""
    return moment.astimezone(timezone(timedelta(minutes=settings.history_utc_offset_minutes)))


def _row(settings: SimulatorSettings, run: Run, now: datetime, origin: str, url: str | None) -> dict[str, Any]:
    """Return one row."""
    status = run.status(now)
    ended = status in {Status.COMPLETED, Status.FAILED}
    return {
        "request_id": run.request_id.replace("-", "") if settings.history_dashless else run.request_id,
        "model_name": MODEL,
        "model_status": status.value if ended else "PENDING",
        "credits_deduction": run.cost_at(now),
        "request_body": _shown(settings, run, origin),
        "generation_url": url,
        "latency_ms": round(run.run_seconds * 1000) if ended else None,
        "model_created": _stamp(settings, run.submitted_at),
        "model_updated": _stamp(settings, run.ends_at if ended and run.ends_at else run.submitted_at),
        "error": run.failure if status is Status.FAILED else None,
        **_USER,
    }


def _stamp(settings: SimulatorSettings, moment: datetime) -> str:
    """Return a time as rows tell it."""
    there = local(settings, moment)
    return (there if settings.history_zone else there.replace(tzinfo=None)).isoformat()


def _shown(settings: SimulatorSettings, run: Run, origin: str) -> dict[str, Any]:
    """Return the inputs as rows show them: with their pictures, without, or with addresses of the vendor's own."""
    match settings.history_images:
        case "dropped":
            return {name: value for name, value in run.inputs.items() if name not in PICTURES}
        case "as_sent":
            return run.inputs
        case how:
            return {name: _reshown(how, name, value, run, origin) for name, value in run.inputs.items()}


def _reshown(how: str, name: str, value: Any, run: Run, origin: str) -> Any:
    """Return a picture in another form than it was sent; anything else as it is."""
    if name not in PICTURES or not isinstance(value, str):
        return value
    is_address = value.startswith(("http://", "https://"))
    match how:
        case "digest":
            return f"sha256:{_digest(value)}"
        case "stripped":
            return value.partition("?")[0] if is_address else value
        case "url" if is_address:
            return value
        case _:
            return f"{origin}/inputs/{_digest(run.output_token)[:32]}/{name}.png"


def _digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
