"""``sam3d retry``: a new job in the place of one that failed or was cancelled, once, and never paid unawares."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.budgeted import send as send_request
from tests.support.requests import at_once, end, job_ids, rows, send
from tests.support.services.zygote import Zygote
from worker.app import App
from worker.errors import Sam3dError
from worker.intake.accept import accept
from worker.intake.request import derived_job_id
from worker.simulator import Simulator
from worker.work.cancelling import cancel
from worker.work.executor import execute
from worker.work.retrying import retry

TAKEN_OVER = "fingerprint, parameters, metadata, priority, idempotency_key"
FILES = "SELECT name, url, media_type, bytes, sha256, content FROM inputs WHERE job_id = :id"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_retry_is_a_new_job_of_the_same_request(app: App, state: str) -> None:
    """It is linked to the first, which stays; it has the same files and is announced."""
    first = send(app, prompt="cat", metadata={"order": 7}, priority=5, idempotency_key="order-7")
    end(app, state, first)
    second, follow_up = retry(app.services, first)
    assert follow_up
    assert follow_up.ticket.job_id == second == job_ids(app)[1]
    both = [rows(app, f"SELECT {TAKEN_OVER} FROM jobs WHERE id = :id", id=UUID(each)) for each in (first, second)]
    assert both[0] == both[1]
    assert rows(app, FILES, id=UUID(first)) == rows(app, FILES, id=UUID(second)) != []
    announced = rows(app, "SELECT type, payload FROM events WHERE job_id = :id", id=UUID(second))
    assert announced[0]["payload"] == {
        "job_id": second, "state": "accepted", "metadata": {"order": 7}, "retry_of": first,
    }  # fmt: skip


def test_a_retry_is_submitted(app: App, simulator: Simulator) -> None:
    """Its files are sent to the vendor as those of the first were to be."""
    first = send(app, prompt="the cat")
    end(app, "failed", first)
    _, follow_up = retry(app.services, first)
    assert follow_up
    execute(app.services, follow_up.step, follow_up.ticket)
    assert [run["prompt"] for run in simulator.ledger()] == ["the cat"]


def test_a_job_is_retried_once(app: App) -> None:
    """Who comes second is told which job it is, however close he comes; that one can be retried in its turn."""
    first = send(app, idempotency_key="order-7")
    end(app, "failed", first)
    refused: list[str] = []

    def try_it() -> None:
        try:
            retry(app.services, first)
        except Sam3dError as error:
            refused.append(str(error))

    at_once(6, try_it)
    assert len(job_ids(app)) == 2
    second = job_ids(app)[1]
    assert set(refused) == {f"Job {first} was retried already: its place has job {second}; see `sam3d job` of that."}
    end(app, "failed", second)
    retry(app.services, second)
    assert len(job_ids(app)) == 3


def test_a_retry_and_a_new_request_of_the_key_are_one_job(app: App) -> None:
    """The key goes with the retry: its sender's next message is a duplicate of that, and the other way round."""
    first = send(app, idempotency_key="order-7")
    end(app, "failed", first)
    second, _ = retry(app.services, first)
    send(app, idempotency_key="order-7")
    assert job_ids(app) == [first, second]
    end(app, "failed", second)
    third = send(app, idempotency_key="order-7", seed=3)
    with pytest.raises(Sam3dError, match=f"its place has job {third}"):
        retry(app.services, second)


def test_a_key_that_another_job_has_is_named(app: App) -> None:
    """The job of the last release has the key without a link."""
    first = send(app, idempotency_key="order-7")
    end(app, "failed", first)
    second = send(app, idempotency_key="order-7")
    rows(app, "UPDATE jobs SET retry_of = NULL RETURNING id")
    with pytest.raises(Sam3dError, match=f"has job {second} now"):
        retry(app.services, first)


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("accepted", "is accepted; it goes on."),
        ("review", "a person decides it: `sam3d review`."),
        ("succeeded", "`sam3d output` writes them"),
    ],
)
def test_a_job_that_has_not_failed_is_not_retried(app: App, state: str, sentence: str) -> None:
    """What there is to do instead is said."""
    first = send(app)
    end(app, state, first)
    with pytest.raises(Sam3dError, match=sentence):
        retry(app.services, first)


def test_a_request_that_could_not_be_run_is_not_retried(app: App) -> None:
    """There is nothing to send again."""
    derived = derived_job_id("celery", "m-1")
    accept(app.services, {"image": "no image"}, derived)
    with pytest.raises(Sam3dError, match="send a corrected one"):
        retry(app.services, str(derived))


def test_a_photo_that_is_gone_is_to_be_sent_again(app: App) -> None:
    """No job is made that would be submitted without it."""
    first = send(app)
    end(app, "failed", first)
    rows(app, "UPDATE inputs SET content = NULL RETURNING 1")
    with pytest.raises(Sam3dError, match="send the request again"):
        retry(app.services, first)
    assert job_ids(app) == [first]


def test_a_job_that_may_be_paid_is_not_retried_unawares(app: App, simulator: Simulator) -> None:
    """Cancelled while its submit is unanswered or its run goes on, given up in review: a person says so."""
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    for may_be in (True, False):
        follow_up = send_request(app)
        assert follow_up
        execute(app.services, follow_up.step, follow_up.ticket)
        job_id = follow_up.ticket.job_id
        cancel(app.services, job_id)
        with pytest.raises(Sam3dError, match="Nobody knows whether" if may_be else "has a paid run") as refused:
            retry(app.services, job_id)
        assert "`--pay-again` makes a new job in any case." in str(refused.value)
        retry(app.services, job_id, pays_again=True)


def test_a_run_that_the_vendor_ended_as_failed_is_retried(app: App) -> None:
    """It charged nothing."""
    first = send(app)
    rows(app, "UPDATE jobs SET request_id = 'r', remote_status = 'FAILED' RETURNING id")
    end(app, "failed", first)
    assert retry(app.services, first)


def test_the_command_prints_the_new_job(app: App, zygote: Zygote) -> None:
    """As text, as JSON, and as one line with its fix where it can't."""
    first, second, nowhere = send(app), send(app), str(uuid4())
    settings = {
        "SAM3D_DATABASE_URL": app.services.settings.database.url,
        "SAM3D_BROKER_URL": "amqp://127.0.0.1:1//",
    }
    for each in (first, second):
        end(app, "failed", each)
    done = zygote.run("retry", first, **settings)
    shown: dict[str, Any] = json.loads(zygote.run("retry", second, "--json", **settings).stdout)
    assert (done.returncode, done.stdout.strip()) == (0, job_ids(app)[2])
    assert shown == {"job_id": job_ids(app)[3], "retry_of": second, "state": "accepted"}
    for wanted, code in ((first, 1), (nowhere, 1), ("seventeen", 2)):
        refused = zygote.run("retry", wanted, **settings)
        assert (refused.returncode, refused.stdout) == (code, "")
        assert refused.stderr.splitlines()[-1].startswith("sam3d: ")
        assert "Traceback" not in refused.stderr
