"""Pure: what a page says of a job; whatever others wrote is text in it, and nothing else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import islice, pairwise
from typing import Any

from worker.cli.show import brief, lasted, sized

LONGEST_TEXT = 400
MOST_VALUES = 20
"""Characters shown of what others wrote, and values of an object."""

Job = Mapping[str, Any]
"""All that is known of a job, as ``describe_job`` reads it."""


def text(value: object) -> str:
    """Write a value as text that is text in any place of a page: of what is long, the beginning."""
    said = brief(_begun(value))
    return escape(said if len(said) <= LONGEST_TEXT else f"{said[:LONGEST_TEXT]}…")


def _begun(value: object) -> object:
    """Return the beginning of a value: metadata may be a megabyte."""
    match value:
        case str():
            return value[: LONGEST_TEXT + 1]
        case list():
            return str(value)[: LONGEST_TEXT + 1]
        case dict():
            begun = {_begun(name): _begun(each) for name, each in islice(value.items(), MOST_VALUES)}
            return begun if len(value) <= MOST_VALUES else {**begun, "…": ""}
    return value


def time(at: datetime) -> str:
    """Write a time in UTC, to the minute."""
    return f'<time datetime="{at.astimezone(UTC).isoformat()}">{at.astimezone(UTC):%Y-%m-%d %H:%M}</time>'


def _about(job: Job) -> str:
    """Say which job it is: its photo, and what its sender calls it."""
    named = (("photo" if each["name"] == "image" else text(each["name"]), _photo(each)) for each in job["photos"])
    return "".join(f'<div class="quiet">{name} {said}</div>' for name, said in named) + names(job)


def names(job: Job) -> str:
    """Say what a sender calls a job: by its key, by its metadata."""
    said = [f"key {text(job['idempotency_key'])}"] if job["idempotency_key"] else []
    said += [text(job["metadata"])] if job["metadata"] else []
    return f'<div class="quiet">{" · ".join(said)}</div>' if said else ""


def _photo(photo: Mapping[str, Any]) -> str:
    if photo["host"]:
        return f"at {text(photo['host'])}"
    kind = (photo["media_type"] or "").rpartition("/")[2].upper()
    size = photo["bytes"] and sized(photo["bytes"])
    digest = photo["sha256"] or ""
    return f'<span title="SHA-256 {text(digest)}">{text(", ".join(filter(None, [kind, size, digest[:12]])))}</span>'


COLUMNS = (("state", ""), ("job", ""), ("accepted", ""), ("took", "number"), ("cost", "number"), ("why", "why"))


def table(jobs: Sequence[Job], seen_at: datetime) -> str:
    """Write a row for each job."""
    if not jobs:
        return ""
    heads = "".join(f'<th class="{kind}">{name}</th>' for name, kind in COLUMNS)
    rows = "\n".join(_row(job, seen_at) for job in jobs)
    return f"<h2>Jobs</h2>\n<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"


def _row(job: Job, seen_at: datetime) -> str:
    lasting = took(job) or f"{lasted(seen_at - job['accepted_at'])} so far"
    cells = (
        f'<td><span class="state {text(job["state"])}">{text(job["state"])}</span></td>',
        f'<td class="job"><code>{text(job["id"])}</code>{_about(job)}</td>',
        f'<td class="at">{time(job["accepted_at"])}</td>',
        f'<td class="number">{lasting}{_phases(job)}</td>',
        f'<td class="number cost">{cost(job)}</td>',
        f'<td class="why">{_why(job)}</td>',
    )
    return f'<tr id="job-{text(job["id"])}">{"".join(cells)}</tr>'


def took(job: Job) -> str:
    """Say how long a job took, once it is over."""
    return lasted(job["finished_at"] - job["accepted_at"]) if job["finished_at"] else ""


def cost(job: Job) -> str:
    """Say what a job cost, once that is known."""
    return "" if job["cost"] is None else f"{text(job['cost'])} USD"


def _why(job: Job) -> str:
    """Say what a job waits for, or what went wrong."""
    code = job["error_code"] and f"<code>{text(job['error_code'])}</code>"
    return "<br>".join(
        filter(None, [job["waits_for"] and text(job["waits_for"]), text(job["error_message"] or ""), code])
    )


PHASES = (("waited", "accepted_at"), ("ran", "submitted_at"), ("fetched", "completed_at"), ("", "finished_at"))


def _phases(job: Job) -> str:
    """Draw how long a job waited, ran and was fetched, once it is over."""
    times = [job[column] for _, column in PHASES]
    if None in times:
        return ""
    lengths = [max(0.0, (after - before).total_seconds()) for before, after in pairwise(times)]
    said = ", ".join(f"{word} {length:.1f} s" for (word, _), length in zip(PHASES, lengths, strict=False))
    bars = "".join(f'<i style="flex-grow:{length:.3f}"></i>' for length in lengths)
    return f'<div class="phases" role="img" aria-label="{said}" title="{said}">{bars}</div>'
