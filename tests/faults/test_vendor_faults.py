"""A vendor that goes wrong in every way, seen from one process: what each fault ends in, hours of it in seconds."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.in_process import app
from tests.support.shop import HOUR, KEY, MINUTE, RUN, Shop, app_inputs, running_simulator, shop, simulator
from worker.simulator import Simulator

__all__ = ["app", "running_simulator", "shop", "simulator"]

SHORT = timedelta(seconds=0.5)


# Row 12: too many requests.


@pytest.mark.parametrize("header", ["iso", "epoch", "missing", "nonsense"])
def test_a_closed_window_is_waited_out(shop: Shop, simulator: Simulator, header: str) -> None:
    """No attempt is used up, and one asks for all once a window: then all succeed, however the reset was told."""
    simulator.update(requests_per_minute=0, reset_header=header)
    ids = [shop.accept(f"job {number}") for number in range(3)]
    shop.live(2.5 * MINUTE)
    assert {shop.job(each)["attempts"] for each in ids} == {0}
    assert "the vendor's request limit" in {shop.job(each)["waits_for"] for each in ids}
    assert 3 <= shop.calls("submit") <= 4
    simulator.update(requests_per_minute=None)
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": 3}
    shop.check_bill()


def test_a_limit_for_polls_and_fetches_is_waited_out(shop: Shop, simulator: Simulator) -> None:
    """The run is paid: its reads wait for as many windows as it takes."""
    job = shop.accept("limited")
    shop.live(RUN / 3)
    simulator.update(requests_per_minute=0)
    shop.live(5 * MINUTE)
    assert (shop.job(job)["state"], shop.job(job)["attempts"]) == ("processing", 0)
    assert shop.calls("status") <= 7
    simulator.update(requests_per_minute=None)
    shop.live(3 * MINUTE)
    assert shop.events(job) == ["accepted", "submitted", "succeeded"]


def test_a_storm_is_got_through(shop: Shop, simulator: Simulator) -> None:
    """Six jobs and ten requests a minute: each has its run in the end."""
    simulator.update(requests_per_minute=10)
    ids = [shop.accept(f"job {number}") for number in range(6)]
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    shop.check_bill()


# Row 13: the account is the trouble.

TROUBLES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"credits": 0.01, "credits_status": 406}, {"credits": 10}),
    ({"team_limit_period": "monthly"}, {"team_limit_period": None}),
    ({"revoked_keys": [KEY]}, {"revoked_keys": []}),
    ({"model_forbidden": True}, {"model_forbidden": False}),
    ({"model_retired": True}, {"model_retired": False}),
]


@pytest.mark.parametrize(("trouble", "mended"), TROUBLES, ids=lambda each: next(iter(each)))
def test_trouble_of_the_account_stops_it_alone(
    shop: Shop, simulator: Simulator, trouble: dict[str, Any], mended: dict[str, Any]
) -> None:
    """Its jobs wait without an attempt used up, one is tried a minute; all goes on by itself, told once each way."""
    simulator.update(**trouble)
    ids = [shop.accept(f"job {number}") for number in range(4)]
    shop.live(5 * MINUTE)
    assert shop.states == {"accepted": 4}
    assert {shop.job(each)["attempts"] for each in ids} == {0}
    assert simulator.requests()["total"] <= len(ids) + 6
    assert shop.events() == ["held"]
    simulator.update(**mended)
    shop.live(3 * MINUTE)
    assert shop.states == {"succeeded": 4}
    assert shop.events() == ["held", "resumed"]
    shop.check_bill()


def test_a_revoked_key_stops_the_polls_too(shop: Shop, simulator: Simulator) -> None:
    """With nothing but runs in flight one request a minute reaches the vendor, and their results are fetched after."""
    ids = [shop.accept(f"job {number}") for number in range(5)]
    shop.live(RUN / 3)
    simulator.update(revoked_keys=[KEY])
    shop.live(RUN)
    before = simulator.requests()["total"]
    shop.live(5 * MINUTE)
    assert simulator.requests()["total"] - before <= 6
    assert {shop.job(each)["attempts"] for each in ids} == {0}
    simulator.update(revoked_keys=[])
    shop.live(3 * MINUTE)
    assert (shop.states, shop.events()) == ({"succeeded": 5}, ["held", "resumed"])


def test_a_rotated_key_is_taken_up(shop: Shop, simulator: Simulator, tmp_path: Path) -> None:
    """A new key in the file lets the account go on without a restart."""
    path = tmp_path / "key"
    path.write_text(KEY)
    shop.set(SEGMIND_API_KEY_FILE=path)
    simulator.update(revoked_keys=[KEY])
    job = shop.accept("rotated")
    shop.live(2 * MINUTE)
    assert (shop.job(job)["state"], shop.events()) == ("accepted", ["held"])
    path.write_text("SG_fedcba9876543210\n")
    shop.live(3 * MINUTE)
    assert (shop.job(job)["state"], shop.events()) == ("succeeded", ["held", "resumed"])


# Rows 14 and 16: a submit without an answer that tells.

BROKEN_SUBMITS: list[dict[str, Any]] = [
    *(
        {"kind": "status", "http_status": status, "starts_run": starts}
        for status in (500, 502, 504)
        for starts in (True, False)
    ),
    {"kind": "reset", "starts_run": False},
    {"kind": "reset", "starts_run": True},
    {"kind": "drop_answer"},
    {"kind": "hang"},
    {"kind": "hang", "starts_run": True},
    {"kind": "slow_bytes"},
    {"kind": "slow_headers"},
    {"kind": "html"},
    {"kind": "truncate"},
    {"kind": "wrong_json"},
    {"kind": "broken_json"},
    {"kind": "missing_id"},
    {"kind": "empty"},
    {"kind": "huge_body"},
    {"kind": "endless_body"},
    {"kind": "redirect", "url": "http://127.0.0.1:9/"},
]


def named(rule: dict[str, Any]) -> str:
    """Name a fault."""
    run = {True: " with a run", False: " without a run"}.get(rule.get("starts_run", ...), "")
    return f"{rule['kind']} {rule.get('http_status', '')}".strip() + run


def test_broken_submits_are_looked_up(shop: Shop, simulator: Simulator) -> None:
    """The run is adopted, or, once another submit is listed and this one is not, made: one in any case."""
    ids = broken_jobs(shop, simulator, BROKEN_SUBMITS)
    started = {name: shop.paid(name) for name in ids}
    shop.accept("other")
    shop.live(8 * MINUTE)
    assert set(started.values()) == {0, 1}
    assert set(shop.states) == {"succeeded"}
    assert {name: shop.paid(name) for name in ids} == dict.fromkeys(ids, 1)
    repeated = {name for name, job in ids.items() if "absent" in shop.verdicts(job)}
    assert repeated == {name for name, runs in started.items() if not runs}
    assert {tuple(shop.events(job)) for job in ids.values()} == {("accepted", "submitted", "succeeded")}
    shop.check_bill()


def broken_jobs(shop: Shop, simulator: Simulator, rules: list[dict[str, Any]]) -> dict[str, str]:
    """Submit a job for each fault, once, within a short deadline; return their ids by the names of the faults.

    A good one goes between them now and then: so many in a row would be an outage.
    """
    ids = {}
    shop.set(SAM3D_SUBMIT_DEADLINE=SHORT)
    for number, rule in enumerate(rules):
        if number % 3 == 2:
            shop.accept("good")
        name = named(rule)
        simulator.add_fault(call="submit", prompt=f"{name}.", count=1, **rule)
        ids[f"{name}."] = shop.accept(f"{name}.")
    shop.live(MINUTE / 12)
    shop.set(SAM3D_SUBMIT_DEADLINE=RUN)
    return ids


@pytest.mark.parametrize("setting", ["retry", "review"])
@pytest.mark.parametrize("history", ["missing", "off"])
def test_without_a_history_only_the_vendors_word_repeats_a_submit(
    shop: Shop, simulator: Simulator, setting: str, history: str
) -> None:
    """It says that a 5xx may be sent again; all else, and a 5xx too if the setting says so, is for a person."""
    simulator.update(history_available=history != "missing")
    shop.set(SAM3D_HISTORY="off" if history == "off" else "auto", SAM3D_SUBMIT_SERVER_ERROR=setting)
    rules = {f"{named(rule)}.": rule for rule in BROKEN_SUBMITS[:9]}
    ids = broken_jobs(shop, simulator, list(rules.values()))
    shop.live(9 * MINUTE)
    for name, rule in rules.items():
        is_repeated = setting == "retry" and "http_status" in rule
        assert shop.job(ids[name])["state"] == ("succeeded" if is_repeated else "review"), name
        assert shop.verdicts(ids[name])[-1] == ("accepted" if is_repeated else "unresolved"), name
        has_run = bool(rule.get("starts_run", rule["kind"] == "drop_answer"))
        assert shop.paid(name) == has_run + is_repeated, name


@pytest.mark.parametrize(("setting", "posts"), [("retry", range(4, 9)), ("review", range(1, 2))])
@pytest.mark.parametrize("is_listed", [True, False], ids=["history", "no history"])
def test_a_vendor_that_fails_every_submit_is_given_up(
    shop: Shop, simulator: Simulator, *, is_listed: bool, setting: str, posts: range
) -> None:
    """With `retry` after an hour of tries, ever further apart, otherwise at once: a person is asked, once."""
    simulator.update(history_available=is_listed)
    simulator.add_fault(call="submit", kind="status", http_status=500, starts_run=False)
    job = shop.accept("broken")
    shop.set(SAM3D_SWEEP_INTERVAL=MINUTE, SAM3D_SUBMIT_SERVER_ERROR=setting, SAM3D_RECONCILE_DEADLINE=5 * MINUTE)
    shop.live(90 * MINUTE)
    assert (shop.job(job)["state"], shop.job(job)["error_code"]) == ("review", "submit_unknown")
    assert shop.calls("submit") == len(shop.verdicts(job))
    assert shop.calls("submit") in posts
    assert shop.events(job) == ["accepted", "review"]


def test_a_row_that_lands_late_is_waited_for(shop: Shop, simulator: Simulator) -> None:
    """Another submit is listed long before: nothing is absent until the history has settled."""
    simulator.add_fault(call="submit", kind="drop_answer", prompt="late", count=1)
    simulator.update(history_delay_seconds=50)
    job = shop.accept("late")
    shop.accept("other")
    shop.live(MINUTE / 2)
    assert shop.job(job)["state"] == "submitting"
    shop.live(3 * MINUTE)
    assert (shop.verdicts(job), shop.states) == (["adopted"], {"succeeded": 2})
    shop.check_bill()


def test_a_run_is_found_on_a_later_page(shop: Shop, simulator: Simulator) -> None:
    """The team is busy: two hundred newer rows are listed before ours."""
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    job = shop.accept("deep")
    shop.live(timedelta(seconds=2))
    others = [{"request_id": str(uuid4()), "request_body": {"prompt": "theirs"}} for _ in range(205)]
    httpx.post(f"{simulator.url}/_simulator/history", json=others).raise_for_status()
    shop.live(2 * MINUTE)
    assert (shop.verdicts(job), shop.job(job)["state"]) == (["adopted"], "succeeded")


@pytest.mark.parametrize("wrapping", ["list", "inference_requests"])
def test_jobs_of_equal_inputs_share_what_was_started(shop: Shop, simulator: Simulator, wrapping: str) -> None:
    """Half of the answers are dropped and rows land late: each job ends with a run of its own, none is paid twice."""
    simulator.update(history_delay_seconds=20, history_wrapping=wrapping)
    simulator.add_fault(call="submit", kind="drop_answer", rate=0.5)
    ids = [shop.accept("same") for _ in range(6)]
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    assert {"adopted", "accepted"} == {verdict for each in ids for verdict in shop.verdicts(each)}
    assert shop.paid("same") == len(ids)
    shop.check_bill()


def test_a_colleagues_run_of_equal_inputs_is_not_ours(shop: Shop, simulator: Simulator) -> None:
    """Once a run of ours is listed it is known who we are; the job that got none is submitted again."""
    shop.accept("ours")
    shop.live(MINUTE)
    simulator.add_fault(call="submit", kind="reset", prompt="same", count=1)
    job = shop.accept("same")
    shop.live(timedelta(seconds=2))
    body = app_inputs(shop, job)
    httpx.post(f"{simulator.url}/_simulator/history", json={"request_id": str(uuid4()), "request_body": body})
    shop.accept("later")
    shop.live(8 * MINUTE)
    assert (shop.verdicts(job), shop.states) == (["absent", "accepted"], {"succeeded": 3})
    shop.check_bill()


# Rows 15 and 16: a read without a usable answer.

BROKEN_READS: list[dict[str, Any]] = [
    *({"kind": "status", "http_status": status} for status in (500, 502, 504)),
    {"kind": "reset"},
    {"kind": "drop_answer"},
    {"kind": "hang"},
    {"kind": "slow_bytes", "bytes_per_second": 20},
    {"kind": "html"},
    {"kind": "truncate"},
    {"kind": "wrong_json"},
    {"kind": "empty"},
    {"kind": "endless_body"},
]


def test_broken_reads_are_made_again(shop: Shop, simulator: Simulator) -> None:
    """Of the status, the result and the file: each job succeeds a little later, with the one run it has."""
    for rule in BROKEN_READS:
        # An endless file is over the cap and ends its job, which is another test's.
        for call in ("status", "result") if rule["kind"] == "endless_body" else ("status", "result", "download"):
            simulator.add_fault(call=call, prompt=f"{named(rule)}.", count=1, **rule)
    ids = [shop.accept(f"{named(rule)}.") for rule in BROKEN_READS]
    shop.live(RUN / 3)
    shop.set(SAM3D_READ_DEADLINE=SHORT, SAM3D_DOWNLOAD_DEADLINE=SHORT * 2)
    shop.live(4 * MINUTE)
    assert shop.states == {"succeeded": len(ids)}
    assert {tuple(shop.events(job)) for job in ids} == {("accepted", "submitted", "succeeded")}
    assert {entry["fired"] for entry in faults_of(simulator)} == {1}
    shop.check_bill()


def faults_of(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the faults in force, with how often each struck."""
    listed: list[dict[str, Any]] = httpx.get(f"{simulator.url}/_simulator/faults").json()["faults"]
    return listed


@pytest.mark.parametrize("call", ["status", "result"])
def test_an_outage_of_hours_loses_no_result(shop: Shop, simulator: Simulator, call: str) -> None:
    """The history is away as well, and the record expires meanwhile: the file is found through the history after it."""
    simulator.add_fault(call=call, kind="status", http_status=502)
    simulator.add_fault(call="history", kind="status", http_status=502)
    job = shop.accept("patient")
    shop.set(SAM3D_SWEEP_INTERVAL=10 * MINUTE)
    shop.live(3 * HOUR)
    assert shop.job(job)["state"] in {"processing", "fetching"}
    simulator.clear_faults()
    shop.live(HOUR / 2)
    assert (shop.job(job)["state"], shop.paid("patient")) == ("succeeded", 1)


def test_a_vendor_that_stays_away_is_given_up_with_its_files(shop: Shop, simulator: Simulator) -> None:
    """After the week that it keeps them: one final state, with its reason."""
    job = shop.accept("lost")
    shop.live(RUN / 3)
    simulator.add_fault(call="any", kind="status", http_status=502)
    shop.live(2 * MINUTE)
    shop.set(SAM3D_SWEEP_INTERVAL=5 * MINUTE)
    shop.skip(timedelta(days=7))
    shop.live(HOUR / 2)
    assert (shop.job(job)["state"], shop.job(job)["error_code"]) == ("failed", "remote_unavailable")
    assert shop.events(job) == ["accepted", "submitted", "failed"]


@pytest.mark.parametrize(
    "rule", [{"kind": "status", "http_status": 502}, {"kind": "reset"}, {"kind": "hang"}], ids=named
)
def test_a_history_that_is_down_is_asked_again(shop: Shop, simulator: Simulator, rule: dict[str, Any]) -> None:
    """A submit without an answer waits for it, and so does a run whose record has expired."""
    shop.set(SAM3D_READ_DEADLINE=SHORT)
    simulator.add_fault(call="history", count=2, **rule)
    simulator.add_fault(call="submit", kind="drop_answer", prompt="doubted", count=1)
    job = shop.accept("doubted")
    shop.live(3 * MINUTE)
    assert (shop.job(job)["state"], shop.verdicts(job)) == ("succeeded", ["adopted"])
    expired = shop.accept("expired")
    shop.live(RUN / 3)
    simulator.add_fault(call="history", count=2, **rule)
    shop.skip(2 * HOUR)
    shop.live(3 * MINUTE)
    assert shop.job(expired)["state"] == "succeeded"


def test_a_history_without_an_end_is_asked_again(shop: Shop, simulator: Simulator) -> None:
    """Its cap holds, and a run whose record has expired is rescued at the next look."""
    job = shop.accept("expired")
    shop.live(RUN / 3)
    simulator.add_fault(call="history", kind="endless_body", count=1)
    shop.skip(2 * HOUR)
    shop.live(3 * MINUTE)
    assert shop.job(job)["state"] == "succeeded"


def test_a_key_that_can_not_be_read_leaves_no_submit_undecided(
    shop: Shop, simulator: Simulator, tmp_path: Path
) -> None:
    """The history can't be asked without it; at the deadline a person is."""
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    simulator.add_fault(call="history", kind="status", http_status=502, count=1)
    job = shop.accept("doubted")
    shop.live(RUN / 60)
    shop.set(SEGMIND_API_KEY_FILE=tmp_path / "none")
    shop.live(17 * MINUTE)
    assert (shop.job(job)["state"], shop.verdicts(job)) == ("review", ["unresolved"])


# Row 17: runs that are gone, fail, or never end.


@pytest.mark.parametrize("artifacts", [False, True], ids=["a model", "a model and its artifacts"])
def test_an_expired_run_is_rescued_through_the_history(shop: Shop, simulator: Simulator, *, artifacts: bool) -> None:
    """Nobody polled for a day: the record is gone, each output has a row, and the files still live."""
    job = shop.accept("expired", include_artifacts=artifacts)
    shop.live(RUN / 3)
    shop.skip(timedelta(days=1))
    shop.live(2 * MINUTE)
    assert (shop.job(job)["state"], float(shop.job(job)["cost"])) == ("succeeded", 0.06)
    outputs = shop.rows("SELECT name FROM outputs ORDER BY id")
    assert [each["name"] for each in outputs] == ["model.glb", "artifacts.zip"][: 1 + artifacts]


def test_an_expired_run_without_a_history_is_gone(shop: Shop, simulator: Simulator) -> None:
    """One final state with its reason, announced once."""
    simulator.update(history_available=False)
    job = shop.accept("expired")
    shop.live(RUN / 3)
    shop.skip(2 * HOUR)
    shop.live(2 * MINUTE)
    assert (shop.job(job)["state"], shop.job(job)["error_code"]) == ("failed", "remote_gone")
    assert shop.events(job) == ["accepted", "submitted", "failed"]


def test_files_that_are_gone_too_end_the_job(shop: Shop, simulator: Simulator) -> None:
    """After a week the history still lists the run, but nothing can be downloaded."""
    job = shop.accept("expired")
    shop.live(RUN / 3)
    shop.set(SAM3D_SWEEP_INTERVAL=5 * MINUTE)
    shop.skip(timedelta(days=8))
    shop.live(HOUR)
    assert shop.job(job)["state"] == "failed"


def test_a_run_that_failed_ends_the_job(shop: Shop, simulator: Simulator) -> None:
    """The vendor serves it with 422; nothing was charged and nothing is tried again."""
    simulator.add_fault(call="submit", kind="fail_job", message="no object found")
    job = shop.accept("failing")
    shop.live(2 * MINUTE)
    row = shop.job(job)
    assert (row["state"], row["error_code"]) == ("failed", "remote_failed")
    assert row["error_message"].endswith("no object found")
    assert (shop.calls("submit"), shop.events(job)) == (1, ["accepted", "submitted", "failed"])


@pytest.mark.parametrize(("history", "later"), [(False, 10 * MINUTE), (True, 75 * MINUTE)])
def test_a_run_that_never_ends_is_given_up_in_time(
    shop: Shop, simulator: Simulator, later: timedelta, *, history: bool
) -> None:
    """At the vendor's own 404, after some seventy looks; where its history has it still, an hour later."""
    simulator.update(history_available=history)
    simulator.add_fault(call="submit", kind="never_ends")
    shop.set(SAM3D_SWEEP_INTERVAL=5 * MINUTE)
    job = shop.accept("endless")
    shop.live(59 * MINUTE)
    assert shop.job(job)["state"] == "processing"
    shop.live(later)
    assert (shop.job(job)["state"], shop.job(job)["error_code"]) == ("failed", "remote_timeout")
    assert shop.calls("status") <= 80
    assert shop.events(job) == ["accepted", "submitted", "failed"]


@pytest.mark.parametrize("call", ["status", "result"])
@pytest.mark.parametrize(("times", "state"), [(2, "succeeded"), (None, "failed")])
def test_a_404_that_comes_too_early_is_asked_again(
    shop: Shop, simulator: Simulator, call: str, times: int | None, state: str
) -> None:
    """A record that was just made may not be everywhere yet; one that stays unknown for its hour is gone."""
    simulator.update(history_available=False)
    simulator.add_fault(call=call, kind="gone", count=times)
    job = shop.accept("early")
    shop.live(5 * MINUTE if times else 90 * MINUTE)
    assert shop.job(job)["state"] == state
    assert state == "succeeded" or shop.job(job)["error_code"] in {"remote_gone", "remote_timeout"}
