"""A database that was set back: jobs that were paid are accepted again, and no one here knows of their runs."""

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.deployment import INTERVALS, Service, start_all, start_worker
from tests.support.deployment import deployed as deployed_on
from tests.support.in_process import PHOTO, app
from tests.support.judge import Judge
from tests.support.restored import Restored, deployed
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.zygote import Zygote
from tests.support.shop import MINUTE, RUN, Shop, running_simulator, simulator
from tests.support.waiting import wait_until
from tests.support.witness import Witness
from worker.database import lineage
from worker.database.engine import transaction
from worker.database.schema import upgrade
from worker.rules.job import ACCOUNT, Job
from worker.rules.lifecycle import Step, Ticket, Trigger
from worker.rules.outcome import Advance, Doubt, Learnt, Outcome
from worker.simulator import Simulator, SimulatorSettings
from worker.work import holding
from worker.work.cancelling import cancel
from worker.work.executor import execute, record
from worker.work.taking import load

__all__ = ["app", "deployed", "running_simulator", "simulator"]


def _under_way(deployed: Restored) -> tuple[list[str], list[str]]:
    """Run jobs before and after a backup, and set it back; return the prompts of what it knows, and of what it lost."""
    shop = deployed.shop
    kept = ["ended", "running", "waiting", "waiting too"]
    shop.accept("ended")
    shop.live(3 * MINUTE)
    shop.accept("running")
    shop.live(RUN / 2)
    for prompt in kept[2:]:
        shop.accept(prompt)
    deployed.back_up()
    shop.live(5 * MINUTE)
    lost = ["new", "new too"]
    for prompt in lost:
        shop.accept(prompt)
    shop.live(15 * MINUTE)
    assert shop.states == {"succeeded": 6}
    deployed.set_back()
    return kept, lost


@pytest.mark.parametrize("are_restarted", [False, True], ids=["live-on", "restarted"])
def test_a_database_that_is_set_back_by_an_hour(deployed: Restored, *, are_restarted: bool) -> None:
    """What was submitted since is adopted: each job that the database knows succeeds, and is paid once."""
    kept, lost = _under_way(deployed)
    if are_restarted:
        deployed.renew()
    shop = deployed.shop
    later = shop.accept("later")
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": 5}
    assert {prompt: shop.paid(prompt) for prompt in [*kept, *lost, "later"]} == dict.fromkeys(
        [*kept, *lost, "later"], 1
    )
    assert shop.events() == ["held", "resumed"]
    assert shop.verdicts(later) == ["accepted"]


def test_no_message_comes_before_the_comparison(deployed: Restored) -> None:
    """A broker that gives a submit's message again finds that nothing may be paid yet, also where nobody remembers."""
    shop = deployed.shop
    job = shop.accept("redelivered")
    deployed.back_up()
    shop.live(RUN / 2)
    deployed.set_back()
    deployed.renew()
    services = deployed.shop.services
    assert execute(services, Step.SUBMIT, Ticket(job, 1)) is None
    assert (deployed.shop.job(job)["state"], deployed.shop.paid("redelivered")) == ("accepted", 1)


def test_a_request_that_is_sent_again(deployed: Restored) -> None:
    """Its row was lost, and its run was paid: the job that is made anew has that run, whenever it is sent."""
    shop = deployed.shop
    deployed.back_up()
    for prompt in ("at once", "later"):
        shop.accept(prompt)
    shop.live(3 * MINUTE)
    deployed.set_back()
    ids = [shop.accept("at once")]
    shop.live(10 * MINUTE)
    ids += [shop.accept("later"), shop.accept("another")]
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 3}
    assert [shop.paid(each) for each in ("at once", "later", "another")] == [1, 1, 1]
    assert [shop.verdicts(each) for each in ids] == [["adopted"], ["adopted"], ["accepted"]]


def test_equal_jobs_share_the_runs_that_were_lost(deployed: Restored) -> None:
    """Of jobs with equal inputs as many are adopted as there are runs; the rest is submitted as ever."""
    shop = deployed.shop
    for _ in range(3):
        shop.accept("same")
    deployed.back_up()
    shop.live(2 * MINUTE)
    deployed.set_back()
    shop.accept("same")
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": 4}
    assert shop.paid("same") == 4
    shop.check_bill()


def test_a_job_whose_cancellation_was_lost(deployed: Restored) -> None:
    """It is accepted again, and its run was paid: it is adopted and not paid again."""
    shop = deployed.shop
    job = shop.accept("cancelled")
    deployed.back_up()
    shop.live(RUN / 2)
    cancel(shop.services, job)
    deployed.set_back()
    shop.live(10 * MINUTE)
    assert (shop.job(job)["state"], shop.paid("cancelled")) == ("succeeded", 1)


def _answered(run: str) -> Outcome:
    return Advance(Trigger.ANSWERED, RUN, Learnt(request_id=run, remote_status="QUEUED", tells_of_account=True))


ANSWERS: dict[str, Callable[[str], Outcome]] = {"answered": _answered, "dropped": lambda _: Doubt("no answer")}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("is_late", [False, True], ids=["at-once", "late"])
def test_a_post_that_was_under_way(deployed: Restored, answer: str, *, is_late: bool) -> None:
    """Its intent is lost when its answer comes: the job has that run all the same, or is looked up."""
    shop = deployed.shop
    job_id = shop.accept("under way")
    deployed.back_up()
    shop._messages.clear()
    taken = _taken(shop, job_id)
    run = shop.services.vendor.submit(taken.inputs).request_id
    deployed.set_back()
    if is_late:
        shop.live(3 * MINUTE)
    record(shop.services, taken, ANSWERS[answer](run))
    shop.live(10 * MINUTE)
    assert (shop.job(job_id)["state"], shop.job(job_id)["request_id"]) == ("succeeded", run)
    assert shop.paid("under way") == 1


def _taken(shop: Shop, job_id: str) -> Job:
    """Take a job as a worker does whose POST is under way."""
    taken = load(shop.services, Step.SUBMIT, Ticket(job_id, 1))
    assert taken
    return taken


def test_without_a_history_a_person_is_asked(deployed: Restored) -> None:
    """A process misses what it committed, and nothing can tell what was paid: nothing is submitted until he says so."""
    shop = deployed.shop
    shop.set(SAM3D_HISTORY="off")
    _under_way(deployed)
    shop.live(20 * MINUTE)
    assert shop.states == {"succeeded": 2, "accepted": 2}
    assert [shop.paid(each) for each in ("waiting", "waiting too")] == [1, 1]
    assert shop.events() == ["held"]
    with transaction(shop.services.engine) as connection:  # What `sam3d resume` does.
        assert lineage.resume(connection, ACCOUNT)
        holding.lift(connection, ACCOUNT)
    shop.live(5 * MINUTE)
    assert [shop.paid(each) for each in ("waiting", "waiting too")] == [2, 2]


def test_a_history_that_does_not_answer_is_waited_for(deployed: Restored, simulator: Simulator) -> None:
    """Submits are missing: however long it takes, nothing is paid before it was compared."""
    simulator.add_fault(call="history", kind="status", http_status=502)
    kept, lost = _under_way(deployed)
    shop = deployed.shop
    shop.live(20 * MINUTE)
    assert shop.states["accepted"] == 2
    simulator.clear_faults()
    shop.live(10 * MINUTE)
    assert shop.states == {"succeeded": 4}
    assert {shop.paid(each) for each in [*kept, *lost]} == {1}


@pytest.mark.parametrize("are_restarted", [False, True], ids=["live-on", "restarted"])
@pytest.mark.parametrize(
    "form",
    [
        {"history_zone": False, "history_utc_offset_minutes": 330},
        {"history_zone": False, "history_utc_offset_minutes": -300},
        {"history_dashless": True},
    ],
    ids=["ahead", "behind", "dashless"],
)
def test_a_history_of_another_form(
    deployed: Restored, simulator: Simulator, form: dict[str, Any], *, are_restarted: bool
) -> None:
    """In local time, or with its ids in another writing: what was lost is found all the same."""
    simulator.update(**form)
    _set_back_with_two_waiting(deployed, are_restarted=are_restarted)
    deployed.shop.live(10 * MINUTE)
    assert deployed.shop.states == {"succeeded": 7}
    assert {run: count for run, count in _paid(simulator).items() if count > 1} == {}


@pytest.mark.parametrize("are_restarted", [False, True], ids=["live-on", "restarted"])
def test_a_history_that_drops_images(deployed: Restored, simulator: Simulator, *, are_restarted: bool) -> None:
    """Whose run one is can't be told any more: a person is asked, and nothing is paid twice."""
    simulator.update(history_images="dropped")
    _set_back_with_two_waiting(deployed, are_restarted=are_restarted)
    deployed.shop.live(10 * MINUTE)
    assert deployed.shop.states == {"succeeded": 5, "review": 2}
    assert {run: count for run, count in _paid(simulator).items() if count > 1} == {}


def _set_back_with_two_waiting(deployed: Restored, *, are_restarted: bool) -> None:
    """Run five jobs, keep the database while two wait, run those, and put it back."""
    for number in range(5):
        deployed.shop.accept(f"ended {number}")
    deployed.shop.live(3 * MINUTE)
    for number in range(2):
        deployed.shop.accept(f"waiting {number}")
    deployed.back_up()
    deployed.shop.live(3 * MINUTE)
    deployed.set_back()
    if are_restarted:
        deployed.renew()


def _paid(simulator: Simulator) -> Counter[str]:
    return Counter(run["prompt"] for run in simulator.ledger())


# What is no step back.


def _restarted_with_work(deployed: Restored) -> None:
    """Restart the database under work, and let all of it end."""
    shop = deployed.shop
    shop.set(SAM3D_SWEEP_INTERVAL=timedelta(seconds=5))
    for number in range(3):
        shop.accept(f"before {number}")
    shop.live(RUN / 2)
    shop.accept("waiting")
    deployed.restart()
    shop.accept("after")
    shop.live(timedelta(seconds=40))
    assert shop.states["accepted"] == 0
    shop.live(5 * MINUTE)
    assert shop.states == {"succeeded": 5}
    assert shop.events() == []


def test_a_restart_is_no_step_back(deployed: Restored) -> None:
    """It costs one look at the history, and the submits go on within the time that was promised."""
    before = deployed.shop.calls("history")
    _restarted_with_work(deployed)
    assert deployed.shop.calls("history") - before <= 2


def test_a_restart_without_a_history_stops_nothing(deployed: Restored) -> None:
    """There is nothing to compare with, and nothing that speaks for a loss."""
    deployed.shop.set(SAM3D_HISTORY="off")
    _restarted_with_work(deployed)


def test_a_restart_while_the_account_host_is_another(deployed: Restored, simulator: Simulator) -> None:
    """A history that does not answer as known is none."""
    simulator.update(history_available=False)
    _restarted_with_work(deployed)


def test_a_history_that_is_away_stops_a_restart_for_minutes(deployed: Restored, simulator: Simulator) -> None:
    """It may tell of a loss that nobody remembers; after some minutes that is not waited for any more."""
    shop = deployed.shop
    shop.set(SAM3D_RECONCILE_SETTLE=5 * MINUTE)
    simulator.add_fault(call="history", kind="status", http_status=502)
    deployed.restart()
    shop.accept("waiting")
    shop.live(4 * MINUTE)
    assert shop.states == {"accepted": 1}
    shop.live(4 * MINUTE)
    assert shop.states == {"succeeded": 1}


def test_runs_of_another_deployment_stop_nothing(deployed: Restored) -> None:
    """Two deployments share a key: whatever the other one runs is not missing here."""
    shop = deployed.shop
    shop.live(MINUTE)
    image = base64.b64encode(PHOTO.read_bytes()).decode()
    shop.services.vendor.submit({"image": image, "prompt": "another's"})
    _restarted_with_work(deployed)


def test_what_was_deleted_is_not_missing(deployed: Restored) -> None:
    """Jobs that are pruned, or deleted by hand, are known to be gone: also through a restart."""
    shop = deployed.shop
    shop.set(SAM3D_HISTORY="off")
    shop.accept("deleted")
    shop.live(3 * MINUTE)
    with transaction(shop.services.engine) as connection:
        connection.execute(text("DELETE FROM jobs"))
    _restarted_with_work(deployed)


def test_a_database_that_begins_is_not_compared(deployed: Restored) -> None:
    """The first start of an empty database waits for nothing and asks for nothing."""
    assert deployed.shop.calls("history") == 0
    deployed.shop.accept("first")
    deployed.shop.live(2 * MINUTE)
    assert deployed.shop.states == {"succeeded": 1}
    assert deployed.shop.calls("history") == 0


# With real processes, and the copy of a data folder.


@pytest.fixture
def server() -> Iterator[PrivatePostgres]:
    """Provide a server of the test's own, whose data can be set back."""
    with PrivatePostgres() as own:
        upgrade(own.create_database("own"))
        yield own


@pytest.fixture
def vendor() -> Iterator[Simulator]:
    """Provide a vendor whose runs take two seconds."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 2})) as simulated:
        yield simulated


@pytest.fixture
def running(
    vhost_url: str, server: PrivatePostgres, vendor: Simulator, zygote: Zygote, tmp_path: Path
) -> Iterator[Service]:
    """Provide a worker and a scheduler on that server."""
    with deployed_on(vhost_url, server.url_of("own"), vendor, tmp_path, zygote, **INTERVALS) as started:
        start_all(started)
        yield started


@pytest.fixture
def judge(running: Service, vendor: Simulator) -> Iterator[Judge]:
    """Provide a judge of that deployment, who hears no events."""
    judging = Judge(running, vendor, Witness(running.environment["SAM3D_BROKER_URL"]))
    yield judging
    judging.close()


@pytest.mark.parametrize("are_restarted", [False, True], ids=["live-on", "restarted"])
def test_a_data_folder_that_is_put_back(
    running: Service, server: PrivatePostgres, vendor: Simulator, judge: Judge, *, are_restarted: bool
) -> None:
    """Under running work, whether the processes live on or are others: each job is paid once, and ends."""
    ids = judge.submit(6)
    judge.await_states(ids, "succeeded")
    ids += judge.submit(30)
    judge.await_states(ids, "accepted", "submitting", "processing", "fetching", "succeeded")
    server.back_up()
    judge.await_states(ids, "succeeded", within=120)
    judge.await_states(judge.submit(6), "succeeded")
    under_way = judge.submit(10)
    wait_until(lambda: len(vendor.ledger()) > 45, "more is under way")
    if are_restarted:
        running.stop()
    server.set_back()
    assert judge.rows("SELECT count(*) FROM submissions")[0]["count"] < len(vendor.ledger()), "it forgot what was paid"
    if are_restarted:
        running.start("scheduler 2", "scheduler")
        start_worker(running, "worker 2")
    judge.await_states(ids, "succeeded", within=120)
    wait_until(lambda: not judge.rows("SELECT FROM jobs WHERE finished_at IS NULL"), "all that is known has ended")
    wait_until(lambda: judge.states(under_way).keys() <= {"succeeded", "missing"}, "what was accepted late has, too")
    assert max(Counter(run["prompt"] for run in vendor.ledger()).values()) == 1
    judge.check_logs()
