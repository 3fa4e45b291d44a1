"""What an event says only when it goes out: where its outputs can be got, until when, and the receipt beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.database.outbox import Event
from worker.outputs.links import Link, Links
from worker.rules.receipt import NAME


def with_links(event: Event, stored: Sequence[Mapping[str, Any]], links: Links) -> Event:
    """Return an event with fresh links to those of its outputs that are still ``stored``; null for the others.

    The job's receipt is told beside them, where there is one. It is for the broker alone: who has a link has the file.
    """
    rows = {(row["name"], row["sha256"]): row for row in stored}
    told = []
    for each in event.payload["outputs"]:
        row = rows.get((each["name"], each["sha256"]))
        told.append({**each, **_said(links.to(row) if row else None)})
    receipts = [{"receipt": _receipt(event, row, links)} for row in stored if row["name"] == NAME]
    return replace(event, payload={**event.payload, "outputs": told, **(receipts[0] if receipts else {})})


def _receipt(event: Event, row: Mapping[str, Any], links: Links) -> Mapping[str, Any]:
    """Say what the receipt of a job is and how to get it."""
    told = {name: row[name] for name in ("name", "media_type", "bytes", "sha256")}
    get = {"cli": f"sam3d receipt {event.job_id}", "python": "worker.client.Client.download"}
    return {**told, "get": get, **_said(links.to(row))}


def _said(link: Link | None) -> Mapping[str, str | None]:
    if link is None:
        return {"url": None, "expires_at": None}
    return {"url": link.url, "expires_at": link.expires_at.isoformat()}
