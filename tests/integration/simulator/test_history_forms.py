"""The forms that a history's rows may have, how late they may be, and who else may be in it."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from worker.simulator import Simulator

SUBMIT = "/v2/sam-3d-objects"
HISTORY = "/inference-request/request-history"


def rows(http: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Return the rows of a page."""
    answer = http.get(HISTORY, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


@pytest.mark.parametrize(("has_zone", "end"), [(True, "+05:30"), (False, "")])
def test_rows_in_local_time(
    simulator: Simulator, http: httpx.Client, submitted: str, *, has_zone: bool, end: str
) -> None:
    """Times and days are those of the account host's zone, which the times may or may not name."""
    before = datetime.fromisoformat(rows(http)[0]["model_created"])
    simulator.update(history_utc_offset_minutes=330, history_zone=has_zone)
    local = before + timedelta(minutes=330)
    (row,) = rows(http, from_date=local.date().isoformat(), to_date=local.date().isoformat())
    assert row["request_id"] == submitted
    assert row["model_created"] == local.replace(tzinfo=None).isoformat() + end


@pytest.mark.parametrize(("form", "shown"), [("as_sent", "as sent"), ("dropped", None), ("url", "http://127.0.0.1")])
def test_pictures_in_rows(
    simulator: Simulator, http: httpx.Client, submitted: str, photo: str, form: str, shown: str | None
) -> None:
    """Pictures are as sent, left out, or addresses of the vendor's; the other inputs are always there."""
    simulator.update(history_images=form)
    body = rows(http)[0]["request_body"]
    image = body.pop("image", None)
    assert body == {"prompt": "dot", "seed": 7}
    assert image == photo if shown == "as sent" else image is None if shown is None else image.startswith(shown)


URL_FORMS = {
    "as_sent": "{url}?signature=1", "url": "{url}?signature=1", "stripped": "{url}", "rehosted": "{ours}/inputs/",
    "digest": "sha256:", "dropped": None,
}  # fmt: skip


@pytest.mark.parametrize(("form", "shown"), URL_FORMS.items())
def test_addresses_in_rows(
    simulator: Simulator, http: httpx.Client, photo_url: str, form: str, shown: str | None
) -> None:
    """A picture that was fetched from an address is shown by that, without what is signed, elsewhere, or not."""
    body = {"image": f"{photo_url}?signature=1"}
    assert http.post(SUBMIT, json=body).status_code == 200
    assert simulator.requests(with_log=True)["log"][-1]["bytes"] < 100, "what is fetched was not sent"
    simulator.update(history_images=form)
    image = rows(http)[0]["request_body"].get("image")
    expected = shown and shown.format(url=photo_url, ours=simulator.url)
    assert image == expected if expected is None or expected.startswith(photo_url) else image.startswith(expected)


def test_ids_without_dashes(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """Rows may have ids without dashes; a row is then found by either form."""
    simulator.update(history_dashless=True)
    bare = submitted.replace("-", "")
    assert [row["request_id"] for row in rows(http)] == [bare]
    assert [http.get(f"{HISTORY}/{form}").json()["request_id"] for form in (submitted, bare)] == [bare, bare]
    simulator.update(history_dashless=False)
    assert http.get(f"{HISTORY}/{bare}").status_code == 404


def test_each_row_has_a_lateness_of_its_own(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """With a spread some rows are there before others, each at the same time whenever one looks."""
    simulator.update(history_delay_seconds=10, history_delay_spread_seconds=100)
    ids = [http.post(SUBMIT, json={"image": photo}).json()["request_id"] for _ in range(40)]
    assert rows(http, per_page=100) == []
    simulator.advance(timedelta(seconds=60))
    some = [row["request_id"] for row in rows(http, per_page=100)]
    assert 0 < len(some) < 40
    assert some == [row["request_id"] for row in rows(http, per_page=100)]
    simulator.advance(timedelta(seconds=51))
    assert {row["request_id"] for row in rows(http, per_page=100)} == set(ids)


def test_addresses_are_listed_late(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """A row may be complete and have no address for a while."""
    simulator.update(history_output_delay_seconds=20)
    simulator.advance(timedelta(seconds=10))
    (row,) = rows(http)
    assert (row["model_status"], row["generation_url"]) == ("COMPLETED", None)
    simulator.advance(timedelta(seconds=20))
    assert http.get(f"{HISTORY}/{submitted}").json()["generation_url"]


def test_single_pages_fail(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """A share of the history's calls may fail, each by its own chance."""
    simulator.add_fault(call="history", kind="status", http_status=500, rate=0.5)
    codes = [http.get(HISTORY, params={"page": page}).status_code for page in range(1, 41)]
    assert set(codes) == {200, 500}
    assert 8 < codes.count(500) < 32


def test_another_user_of_the_key(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """His runs come as time passes; they are listed and can be read, and are not on the bill."""
    simulator.update(foreign_run_every_seconds=3)
    simulator.advance(timedelta(seconds=10))
    theirs = [row for row in rows(http) if row["request_id"] != submitted]
    assert len(theirs) == 3
    assert len({row["request_body"]["prompt"] for row in theirs}) == 3
    assert http.get(f"/v2/requests/{theirs[-1]['request_id']}/status").json()["status"] == "COMPLETED"
    assert [run["request_id"] for run in simulator.ledger()] == [submitted]
    simulator.update(foreign_run_every_seconds=None)
    simulator.advance(timedelta(seconds=10))
    assert len(rows(http)) == 4
