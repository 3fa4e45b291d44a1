"""What a person decides: one job or many in one go, and from when the hour of an adopted run counts."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.in_process import app
from tests.support.services.zygote import Zygote
from tests.support.shop import MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.app import App
from worker.database.engine import transaction
from worker.simulator import Simulator
from worker.work import decisions

__all__ = ["app", "running_simulator", "shop", "simulator"]


Review = Callable[..., Any]


@pytest.fixture
def decide(app: App, zygote: Zygote) -> Review:
    """Provide `sam3d review` on the database of the app; it returns what is printed."""
    urls = {"SAM3D_DATABASE_URL": app.services.settings.database.url, "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//"}

    def run(*arguments: str) -> Any:
        done = zygote.run("review", *arguments, "--json", **urls)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def in_review(shop: Shop, simulator: Simulator, count: int) -> list[str]:
    """Put jobs to review: their answers are dropped, and there is no history."""
    shop.set(SAM3D_HISTORY="off")
    ids = []
    for number in range(count):
        simulator.add_fault(call="submit", kind="drop_answer", count=1)
        ids.append(shop.accept(f"lost {number}."))
        shop.live(RUN / 10)
        shop.accept(f"good {number}.")
        shop.live(RUN / 10)
    shop.live(2 * MINUTE)
    assert {shop.job(each)["state"] for each in ids} == {"review"}
    return ids


def test_many_are_decided_in_one_go(decide: Review, shop: Shop, simulator: Simulator) -> None:
    """First it is only shown; the filters narrow it; what a decision is not possible for is left out."""
    ids = in_review(shop, simulator, 4)
    listed = decide("--all", "--fail")
    assert [each["id"] for each in listed] == ids
    assert {each["last_submit"] for each in listed} == {"unresolved"}
    assert shop.states["review"] == 4
    assert decide("--all", "--adopt", "known", "--yes") == []
    assert decide("--all", "--fail", "--code", "worker_killed", "--yes") == []
    assert decide("--all", "--fail", "--last", "adopted", "--yes") == []
    assert decide("--all", "--fail", "--older-than", "86400", "--yes") == []
    failed = decide("--all", "--fail", "--code", "submit_unknown", "--limit", "1", "--yes")
    assert failed == [{"job_id": ids[0], "result": "failed"}]
    again = decide("--all", "--resubmit", "--last", "unresolved", "--yes")
    assert [each["result"] for each in again] == ["accepted"] * 3
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": 7, "failed": 1}


def test_a_limit_counts_those_that_a_decision_is_possible_for(
    app: App, decide: Review, shop: Shop, simulator: Simulator
) -> None:
    """The oldest have a run, which nobody submits again: they take no place."""
    ids = in_review(shop, simulator, 3)
    with transaction(app.services.engine) as connection:
        connection.execute(text("UPDATE jobs SET request_id = 'run' WHERE id = :id"), {"id": ids[0]})
    assert [each["id"] for each in decide("--all", "--resubmit", "--limit", "2")] == ids[1:]
    assert [each["id"] for each in decide("--all", "--adopt", "known", "--limit", "2")] == ids[:1]
    assert [each["id"] for each in decide("--all", "--fail", "--limit", "2")] == ids[:2]


def test_an_age_of_millennia_is_a_mistake(zygote: Zygote) -> None:
    """And no traceback."""
    done = zygote.run("review", "--older-than", "1e300")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


@pytest.mark.parametrize("arguments", [["--all"], ["--all", "--fail", "--resubmit"], ["--all", "--adopt", "some-run"]])
def test_a_decision_for_all_is_one(arguments: list[str], zygote: Zygote) -> None:
    """And no run is given to several jobs."""
    done = zygote.run("review", *arguments)
    assert (done.returncode, done.stderr.startswith("sam3d: ")) == (2, True)


@pytest.mark.parametrize("history", ["auto", "off"])
@pytest.mark.parametrize(
    "zone", [{}, {"history_utc_offset_minutes": -480, "history_zone": False}], ids=["UTC", "local"]
)
def test_the_hour_of_an_adopted_run_counts_from_its_submit(
    app: App, shop: Shop, simulator: Simulator, history: str, zone: dict[str, Any]
) -> None:
    """Not from when a person came to it: the vendor forgets it in time."""
    (job,) = in_review(shop, simulator, 1)
    (run,) = [each["request_id"] for each in simulator.ledger() if each["prompt"] == "lost 0."]
    shop.live(20 * MINUTE)
    simulator.update(**zone)
    shop.set(SAM3D_HISTORY=history)
    decisions.adopt(shop.services, job, run, partial(shop.services.vendor.listed, wants_all=False))
    with transaction(app.services.engine) as connection:
        query = text(
            "SELECT submitted_at - intended_at FROM jobs JOIN submissions s ON s.job_id = jobs.id WHERE jobs.id = :id"
        )
        since = connection.execute(query, {"id": job}).scalar()
    assert since is not None
    assert abs(since) < timedelta(seconds=5)
