"""The request history: rows, pages, filters, wrappings."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from worker.simulator import Simulator

HISTORY = "/inference-request/request-history"


def rows(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Return the rows of a page."""
    answer = http.get(HISTORY, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def submit(http: httpx.Client, photo: str, count: int = 1, **inputs: Any) -> list[str]:
    """Submit some runs and return their ids."""
    answers = [http.post("/v2/sam-3d-objects", json={"image": photo, **inputs}) for _ in range(count)]
    return [answer.json()["request_id"] for answer in answers]


def test_pages_cover_everything_once(http: httpx.Client, photo: str) -> None:
    """Five rows in pages of two, newest first."""
    ids = submit(http, photo, 5)
    pages = [rows(http, page=page, per_page=2) for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert [row["request_id"] for page in pages for row in page] == ids[::-1]
    assert [row["request_id"] for row in rows(http, sort_order="asc")] == ids


def test_row_follows_its_run(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """A row is pending first, then complete with cost and output, of any age."""
    (pending,) = rows(http)
    assert (pending["model_status"], pending["generation_url"]) == ("PENDING", None)
    assert pending["request_body"]["seed"] == 7
    simulator.advance(timedelta(hours=2))
    row = http.get(f"{HISTORY}/{submitted}").json()
    assert (row["model_status"], row["credits_deduction"], row["latency_ms"]) == ("COMPLETED", 0.06, 10000)
    assert httpx.get(row["generation_url"]).status_code == 200
    assert rows(http, status="PENDING") == []
    assert rows(http, status="COMPLETED", model_name="3d") == [row]


def test_run_with_several_outputs_has_several_rows(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """A row for each output, with the same id and cost."""
    submit(http, photo, include_artifacts=True)
    simulator.advance(timedelta(seconds=10))
    first, second = rows(http)
    assert first["request_id"] == second["request_id"]
    assert first["generation_url"] != second["generation_url"]


def test_rows_land_late(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """With a delay, a row is invisible at first, on both calls."""
    simulator.update(history_delay_seconds=20)
    (run,) = submit(http, photo)
    assert rows(http) == []
    assert http.get(f"{HISTORY}/{run}").status_code == 404
    simulator.advance(timedelta(seconds=20))
    assert len(rows(http)) == 1


def test_wrappings(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """Rows come bare or under any key."""
    simulator.update(history_wrapping="list")
    assert [row["request_id"] for row in http.get(HISTORY).json()] == [submitted]
    simulator.update(history_wrapping="requests")
    assert [row["request_id"] for row in http.get(HISTORY).json()["requests"]] == [submitted]


def test_rows_of_the_team(http: httpx.Client, submitted: str) -> None:
    """Other members' rows are listed, but can't be looked up by id."""
    answer = http.post("/_simulator/history", json={"request_id": "theirs", "request_body": {"seed": 7}})
    assert answer.json() == {"rows": 1}
    assert {row["request_id"] for row in rows(http)} == {submitted, "theirs"}
    assert http.get(f"{HISTORY}/theirs").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"from_date": "2026-01-01", "to_date": "2026-02-01"},
        {"from_date": "2026-01-02", "to_date": "2026-01-01"},
        {"from_date": "yesterday"},
        {"per_page": 101},
        {"page": 0},
        {"status": "RUNNING"},
        {"sort_by": "luck"},
    ],
)
def test_bad_queries(http: httpx.Client, query: dict[str, Any]) -> None:
    """Out of range is a 400 with a reason."""
    answer = http.get(HISTORY, params=query)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_window_is_whole_days(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """A run is found by the day it was made, and not by another."""
    day = rows(http)[0]["model_created"][:10]
    simulator.advance(timedelta(days=20))
    assert rows(http) == []
    assert [row["request_id"] for row in rows(http, from_date=day, to_date=day)] == [submitted]


def test_history_can_be_away(simulator: Simulator, http: httpx.Client) -> None:
    """An account host without the history answers 404."""
    simulator.update(history_available=False)
    assert http.get(HISTORY).status_code == 404
