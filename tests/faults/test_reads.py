"""A vendor whose reads go wrong for minutes, or tell of another run: nothing that was paid is given up or mixed up."""

import hashlib
from collections.abc import Sequence
from itertools import product
from typing import Any

import httpx
import pytest

from tests.support.in_process import app
from tests.support.shop import HOUR, MINUTE, RUN, Shop, running_simulator, shop, simulator
from worker.database import jobs, reading
from worker.simulator import Simulator

__all__ = ["app", "running_simulator", "shop", "simulator"]

COUNT = 5
EXTRAS = ("splat.ply", "scene.obj", "poses.json", "preview.png", "turn.mp4")


def accept(shop: Shop, count: int = COUNT, **fields: Any) -> list[str]:
    """Accept jobs, each of a seed of its own, so that their models differ."""
    return [shop.accept(f"job {number}", seed=number, **fields) for number in range(count)]


def outputs(shop: Shop, job_id: str) -> dict[str, str]:
    """Return a job's outputs by name, with their digests."""
    rows = shop.rows("SELECT name, sha256 FROM outputs WHERE job_id = CAST(:id AS uuid)", id=job_id)
    return {row["name"]: row["sha256"] for row in rows}


def own_models(shop: Shop, ids: Sequence[str]) -> list[str]:
    """Return the digests of the models that the vendor made for some jobs."""
    with httpx.Client(base_url=shop.simulator.url, headers={"x-api-key": "SG_0123456789abcdef"}) as client:
        results = [client.get(f"/v2/requests/{shop.job(each)['request_id']}").json() for each in ids]
        return [hashlib.sha256(client.get(result["output"]).content).hexdigest() for result in results]


# Row 26: what is paid is not given up while the vendor may still have it.


@pytest.mark.parametrize("call", ["status", "result"])
def test_a_404_of_ten_minutes_gives_nothing_up(shop: Shop, simulator: Simulator, call: str) -> None:
    """Without a history: all come back, at a rate that leaves a budget to the others, and succeed within a minute."""
    simulator.update(history_available=False)
    ids = accept(shop)
    shop.live(RUN / 3)
    simulator.add_fault(call=call, kind="gone")
    shop.live(10 * MINUTE)
    assert shop.states == {"processing" if call == "status" else "fetching": COUNT}
    assert shop.calls(call) <= 25 * COUNT
    simulator.clear_faults()
    shop.live(MINUTE)
    assert shop.states == {"succeeded": COUNT}
    assert {tuple(shop.events(each)) for each in ids} == {("accepted", "submitted", "succeeded")}


@pytest.mark.parametrize("history", [True, False])
def test_ids_that_are_known_a_minute_late_are_waited_for(shop: Shop, simulator: Simulator, *, history: bool) -> None:
    """Their rows are as late."""
    simulator.update(known_after_seconds=60, history_delay_seconds=90, history_available=history)
    accept(shop)
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": COUNT}
    shop.check_bill()


def test_outputs_that_are_named_a_minute_late_are_waited_for(shop: Shop, simulator: Simulator) -> None:
    """COMPLETED without an output is no end; the history has no address either."""
    simulator.update(output_delay_seconds=60, history_output_delay_seconds=60)
    accept(shop)
    shop.live(4 * MINUTE)
    assert shop.states == {"succeeded": COUNT}


def test_an_output_that_only_the_history_names_is_taken_from_there(shop: Shop, simulator: Simulator) -> None:
    """The row has the address that the result lacks."""
    simulator.update(output_delay_seconds=3000)
    accept(shop)
    shop.live(2 * MINUTE)
    assert shop.states == {"succeeded": COUNT}


@pytest.mark.parametrize(("history", "code"), [(True, "output_unusable"), (False, "remote_gone")])
def test_an_output_that_is_never_named_fails_after_the_hour(
    shop: Shop, simulator: Simulator, code: str, *, history: bool
) -> None:
    """With its reason, announced once; the history's word counts for an hour more."""
    never = {"output_delay_seconds": 10**6, "history_output_delay_seconds": 10**6}
    simulator.update(**never, history_available=history)
    job = shop.accept("nameless")
    shop.live(58 * MINUTE)
    assert shop.job(job)["state"] == "fetching"
    shop.set(SAM3D_SWEEP_INTERVAL=5 * MINUTE)
    shop.live(2 * HOUR)
    assert (shop.job(job)["state"], shop.job(job)["error_code"]) == ("failed", code)
    assert shop.events(job) == ["accepted", "submitted", "failed"]


def test_one_404_of_a_result_is_no_end(shop: Shop, simulator: Simulator) -> None:
    """Nor is it one with a row of the history whose address is not there yet."""
    simulator.update(history_output_delay_seconds=60)
    simulator.add_fault(call="result", kind="gone", count=COUNT)
    accept(shop)
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": COUNT}


UNREADABLE: dict[str, list[dict[str, Any]]] = {
    "500": [{"kind": "status", "http_status": 500}],
    "redirected": [{"kind": "redirect", "url": "http://127.0.0.1:9/"}],
    "another request's": [{"kind": "other_result"}],
}


@pytest.mark.parametrize("calls", [["result"], ["status", "result"]])
@pytest.mark.parametrize("rules", UNREADABLE.values(), ids=UNREADABLE)
def test_a_run_that_is_never_shown_is_taken_from_the_history(
    shop: Shop, simulator: Simulator, rules: list[dict[str, Any]], calls: list[str]
) -> None:
    """One record of the vendor's is broken for good: what the run made is listed, and lives for days."""
    for call, rule in product(calls, rules):
        simulator.add_fault(call=call, prompt="broken", **rule)
    for prompt in ("broken", "job 1", "job 2"):
        shop.accept(prompt)
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 3}
    assert shop.calls("history") <= 3, "its row, the other outputs of its day, and what a start looks at"


@pytest.mark.parametrize("unfinished", ["status", "404"])
@pytest.mark.parametrize("calls", [["result"], ["status", "result"]])
def test_a_new_word_for_a_run_that_is_over_loses_nothing(
    shop: Shop, simulator: Simulator, calls: list[str], unfinished: str
) -> None:
    """It has an output, wherever looks go; the history need not tell."""
    simulator.update(history_available=False, unfinished_result=unfinished)
    accept(shop)
    shop.live(RUN + MINUTE / 2)
    for call in calls:
        simulator.add_fault(call=call, kind="unknown_status", message="SUCCEEDED")
    accept(shop)
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 2 * COUNT}


@pytest.mark.parametrize(("history", "state"), [(True, "succeeded"), (False, "failed")])
def test_an_error_under_200_ends_with_the_hour(shop: Shop, simulator: Simulator, state: str, *, history: bool) -> None:
    """Nobody is asked for ever of a run that the vendor never speaks of."""
    simulator.update(history_available=history)
    for call in ("status", "result"):
        simulator.add_fault(call=call, kind="status", http_status=200, body={"error": "not found"})
    shop.set(SAM3D_SWEEP_INTERVAL=MINUTE)
    job = shop.accept("unspoken of")
    shop.live(58 * MINUTE)
    assert shop.job(job)["state"] == "processing"
    shop.live(10 * MINUTE)
    assert shop.states == {state: 1}
    assert shop.events(job) == ["accepted", "submitted", state]


@pytest.mark.parametrize("skip", range(len(EXTRAS) + 1))
@pytest.mark.parametrize("kind", ["truncate", "status", "empty"])
def test_what_was_whole_is_not_downloaded_again(shop: Shop, simulator: Simulator, skip: int, kind: str) -> None:
    """Whichever of the files breaks once, only that one is downloaded a second time."""
    simulator.update(extra_files=EXTRAS, output_shape="list")
    simulator.add_fault(call="download", kind=kind, skip=skip, count=1, http_status=503 if kind == "status" else 200)
    job = shop.accept("unlucky")
    shop.live(2 * MINUTE)
    assert (shop.job(job)["state"], len(outputs(shop, job))) == ("succeeded", 1 + len(EXTRAS))
    assert shop.calls("download") == 2 + len(EXTRAS)
    assert shop.calls("result") == 1


def test_a_file_that_stays_broken_does_not_cost_the_model(shop: Shop, simulator: Simulator) -> None:
    """After a few tries the job succeeds without it."""
    simulator.update(extra_files=("splat.ply",), output_shape="list")
    simulator.add_fault(call="download", kind="status", http_status=503, skip=1)
    job = shop.accept("model")
    shop.live(3 * MINUTE)
    assert (shop.job(job)["state"], list(outputs(shop, job))) == ("succeeded", ["model.glb"])
    assert shop.calls("download") <= 6


def test_where_files_are_is_shown_to_nobody(shop: Shop, simulator: Simulator) -> None:
    """A job whose download has to be tried again has the address on its row until it is over."""
    simulator.add_fault(call="download", kind="status", http_status=503, count=3)
    job = shop.accept("secret")
    shop.live(RUN * 1.3)
    assert shop.job(job)["addresses"]
    with shop.services.engine.connect() as connection:
        assert "/outputs/" not in f"{reading.job_row(connection, job)} {jobs.find(connection, job)!r}"
    shop.live(2 * MINUTE)
    assert (shop.job(job)["state"], shop.job(job)["addresses"], shop.job(job)["kept"]) == ("succeeded", None, None)


def test_a_known_address_needs_no_record(shop: Shop, simulator: Simulator) -> None:
    """The file host is away for two hours, there is no history, and the record is gone: the file lives."""
    simulator.update(history_available=False)
    simulator.add_fault(call="download", kind="status", http_status=503)
    job = shop.accept("patient")
    shop.set(SAM3D_SWEEP_INTERVAL=10 * MINUTE)
    shop.live(2 * HOUR)
    simulator.clear_faults()
    shop.live(HOUR / 2)
    assert (shop.job(job)["state"], shop.calls("result")) == ("succeeded", 1)


# Row 28: a body of another run.


@pytest.mark.parametrize("rate", [0.5, 0.75])
def test_no_job_gets_the_model_of_another(shop: Shop, simulator: Simulator, rate: float) -> None:
    """So many of the bodies are another request's and say so: each job ends with what was made for it."""
    simulator.add_fault(call="result", kind="other_result", rate=rate)
    simulator.add_fault(call="status", kind="other_result", rate=rate)
    ids = accept(shop)
    shop.live(HOUR / 2)
    assert shop.states == {"succeeded": COUNT}
    simulator.clear_faults()
    assert [outputs(shop, each)["model.glb"] for each in ids] == own_models(shop, ids)


def test_a_stranger_that_failed_fails_no_job(shop: Shop, simulator: Simulator) -> None:
    """Its body comes for a run of ours that completes."""
    simulator.add_fault(call="submit", kind="fail_job", prompt="bad")
    bad = shop.accept("bad")
    shop.live(2 * MINUTE)
    good = shop.accept("good")
    simulator.add_fault(call="status", kind="other_result", count=3)
    shop.live(3 * MINUTE)
    assert (shop.job(bad)["state"], shop.job(good)["state"]) == ("failed", "succeeded")


def test_a_body_that_does_not_say_whose_it_is_ends_nothing(shop: Shop, simulator: Simulator) -> None:
    """It is asked for again."""
    for call in ("status", "result"):
        simulator.add_fault(call=call, kind="missing_id", count=COUNT)
    accept(shop)
    shop.live(4 * MINUTE)
    assert shop.states == {"succeeded": COUNT}


def test_ids_are_compared_without_dashes(shop: Shop, simulator: Simulator) -> None:
    """The submit is answered in one writing, reads in another."""
    simulator.update(request_ids="hex")
    accept(shop)
    shop.live(2 * MINUTE)
    assert shop.states == {"succeeded": COUNT}


# Row 31: the database's clock steps.


@pytest.mark.parametrize("forgets", [False, True], ids=["the vendor knows", "and the vendor answers 404"])
def test_a_clock_that_is_an_hour_ahead_for_a_minute_gives_nothing_up(
    shop: Shop, simulator: Simulator, *, forgets: bool
) -> None:
    """Whatever falls due at once is looked at, and goes on."""
    simulator.update(run_time=600)
    ids = accept(shop)
    shop.live(MINUTE)
    if forgets:
        simulator.add_fault(call="status", kind="gone")
    shop.step(HOUR)
    shop.live(MINUTE)
    shop.step(-HOUR)
    simulator.clear_faults()
    assert shop.states == {"processing": COUNT}
    shop.live(HOUR + 15 * MINUTE)
    assert shop.states == {"succeeded": COUNT}
    assert {tuple(shop.events(each)) for each in ids} == {("accepted", "submitted", "succeeded")}


def test_the_vendors_own_hour_counts(shop: Shop, simulator: Simulator) -> None:
    """Its answers have dates: where the database's clock is hours ahead for good, a 404 ends nothing before that."""
    simulator.update(history_available=False, run_time=600)
    accept(shop)
    shop.live(MINUTE)
    simulator.add_fault(call="status", kind="gone")
    shop.step(2 * HOUR)
    shop.live(20 * MINUTE)
    simulator.clear_faults()
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": COUNT}
