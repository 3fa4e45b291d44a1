"""What an event says only when it goes out: where its outputs can be got, and until when."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.database.outbox import Event
from worker.outputs.links import Link, Links


def with_links(event: Event, stored: Sequence[Mapping[str, Any]], links: Links) -> Event:
    """Return an event with fresh links to those of its outputs that are still ``stored``; null for the others.

    It is for the broker alone: who has a link has the file.
    """
    rows = {(row["name"], row["sha256"]): row for row in stored}
    told = []
    for each in event.payload["outputs"]:
        row = rows.get((each["name"], each["sha256"]))
        told.append({**each, **_said(links.to(row) if row else None)})
    return replace(event, payload={**event.payload, "outputs": told})


def _said(link: Link | None) -> Mapping[str, str | None]:
    if link is None:
        return {"url": None, "expires_at": None}
    return {"url": link.url, "expires_at": link.expires_at.isoformat()}
