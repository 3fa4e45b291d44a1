"""What must hold after every fault: nothing lost, nothing paid twice, everything stored and announced, no secret told.

Read from the database, the vendor's bill, the broker's events and the log files; the service itself is not asked.
"""

import base64
import hashlib
import io
import json
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from kombu import Connection
from PIL import Image, ImageDraw
from sqlalchemy import create_engine

from tests.support.broken import SECRET_PROMPT
from tests.support.deployment import KEY, Service
from tests.support.waiting import wait_until
from tests.support.witness import Witness
from worker.broker.topology import CONFIRMED, CONNECTION, declare
from worker.simulator import Simulator
from worker.simulator.artifacts import make_files
from worker.simulator.model import Hint

FINAL = {"succeeded", "failed", "cancelled"}
SUCCESS = frozenset({"succeeded"})
SIGNED_URL = "/outputs/"


@cache
def tiny_image() -> str:
    """Return a small photo in base64; all jobs have the same one, so that the vendor makes one model."""
    picture = Image.new("RGB", (48, 48), "white")
    ImageDraw.Draw(picture).ellipse((8, 12, 40, 36), fill="navy", outline="red")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


class Judge:
    """Sends jobs, looks at them, and says at the end whether everything that was promised holds."""

    def __init__(self, service: Service, simulator: Simulator, witness: Witness) -> None:
        self.witness = witness
        self._service = service
        self._simulator = simulator
        # The servers themselves, whatever proxies the processes of the service are given.
        self._broker_url = service.environment["SAM3D_BROKER_URL"]
        # Tests ask often, and a new connection costs more than the question.
        kept: dict[str, Any] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
        self._engine = create_engine(service.environment["SAM3D_DATABASE_URL"], isolation_level="AUTOCOMMIT", **kept)

    def submit(self, count: int, **fields: Any) -> list[str]:
        """Publish requests, each with a prompt of its own, half of them to each way in; return the job ids."""
        ids = [str(uuid4()) for _ in range(count)]
        self.send([request_of(job_id, **fields) for job_id in ids])
        return ids

    def send(self, requests: Sequence[dict[str, Any]]) -> None:
        """Publish requests that were made by hand, half of them to each way in."""
        with Connection(self._broker_url, connect_timeout=5, transport_options=CONNECTION) as connection:
            declare(connection)
            with connection.Producer() as producer:
                for number, body in enumerate(requests):
                    producer.publish(**(as_task(body) if number % 2 else as_json(body)), **CONFIRMED)

    def ask(self, what: str, ids: Sequence[str], **properties: Any) -> None:
        """Ask about jobs, by a message each, half of them by each way in."""
        asks = [{"job_id": job_id} for job_id in ids]
        with Connection(self._broker_url, connect_timeout=5, transport_options=CONNECTION) as connection:
            declare(connection)
            with connection.Producer() as producer:
                for number, body in enumerate(asks):
                    message = as_task(body, f"sam3d.{what}") if number % 2 else as_json(body, what)
                    producer.publish(**message, **properties, **CONFIRMED)

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Read from the database; what is written by the query is committed."""
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(query, parameters)
            return [dict(row) for row in found.mappings()] if found.returns_rows else []

    def close(self) -> None:
        """Keep no connection."""
        self._engine.dispose()

    def states(self, ids: Collection[str]) -> Counter[str]:
        """Count the jobs by state; the ones without a row count as ``missing``."""
        query = "SELECT state, count(*) FROM jobs WHERE id = ANY(%s::uuid[]) GROUP BY state"
        counts = Counter({row["state"]: row["count"] for row in self.rows(query, list(ids))})
        counts["missing"] = len(ids) - counts.total()
        return +counts

    def await_states(self, ids: Collection[str], *states: str, at_least: int | None = None, within: float = 60) -> None:
        """Wait until so many jobs, or all of them, are in one of the states. The database must answer."""
        needed = len(ids) if at_least is None else at_least
        wait_until(lambda: self._count(ids, states) >= needed, f"{needed} jobs are {'/'.join(states)}", within)

    def check(
        self,
        ids: Collection[str],
        *,
        ends_in: Collection[str] = SUCCESS,
        review: Collection[str] = (),
        unheard: Collection[str] = (),
        within: float = 120,
    ) -> None:
        """Wait until every job has ended, then check what holds whatever the fault was.

        ``review`` are the jobs that may stop there, ``unheard`` those whose events may have had no queue.
        """
        self._await_end(set(ids), set(review), within)
        jobs = self.rows("SELECT id::text, state, request_id FROM jobs WHERE id = ANY(%s::uuid[])", list(ids))
        wrong = {job["id"]: job["state"] for job in jobs if job["id"] not in review and job["state"] not in ends_in}
        assert not wrong, f"ended otherwise than in {set(ends_in)}"
        self._check_bill(jobs)
        self._check_outputs([job["id"] for job in jobs if job["state"] == "succeeded"])
        self._check_announced(ids, unheard)
        self.check_logs()

    def check_logs(self) -> None:
        """Check that no log of any process tells a secret or somebody's content."""
        for path in self._service.logs.glob("*.log"):
            log = path.read_text()
            for name, secret in _SECRETS.items():
                assert secret not in log, f"{path.name} tells {name}"

    def _count(self, ids: Collection[str], states: Collection[str]) -> int:
        counts = self.states(ids)
        return sum(counts[state] for state in states)

    def _await_end(self, ids: set[str], review: set[str], within: float) -> None:
        query = "SELECT id::text, state FROM jobs WHERE id = ANY(%s::uuid[])"

        def has_ended() -> bool:
            found = {row["id"]: row["state"] for row in self.rows(query, list(ids))}
            return all(found.get(i) in FINAL or (i in review and found.get(i) == "review") for i in ids)

        try:
            wait_until(has_ended, "every job has ended", within)
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {dict(self.states(ids))}") from None

    def _check_bill(self, jobs: Sequence[dict[str, Any]]) -> None:
        """Check that each run was intended by a committed row, and that no job has two."""
        runs: dict[str, list[str]] = {}
        for run in self._simulator.ledger():
            runs.setdefault(run["prompt"], []).append(canonical(run["request_id"]))
        query = "SELECT job_id::text, count(*) FROM submissions GROUP BY job_id"
        intended = {row["job_id"]: row["count"] for row in self.rows(query)}
        for job in jobs:
            paid = runs.get(prompt_of(job["id"]), [])
            assert len(paid) <= 1, f"{len(paid)} runs were paid for job {job['id']}"
            assert len(paid) <= intended.get(job["id"], 0), f"job {job['id']} was sent without a committed intent"
            if job["state"] == "succeeded":
                assert paid == [canonical(job["request_id"])], f"job {job['id']} has another run's result"

    def _check_outputs(self, ids: Collection[str]) -> None:
        query = (
            "SELECT o.job_id::text, o.bytes, o.sha256, string_agg(c.content, ''::bytea ORDER BY c.position) AS content "
            "FROM outputs o JOIN blob_chunks c ON c.location = o.location "
            "WHERE o.job_id = ANY(%s::uuid[]) AND o.name = 'model.glb' GROUP BY o.id"
        )
        stored = {row.pop("job_id"): row for row in self.rows(query, list(ids))}
        assert stored.keys() == set(ids), "an output is missing"
        for job_id, file in stored.items():
            content = bytes(file["content"])
            found = (len(content), hashlib.sha256(content).hexdigest(), content[:4])
            assert found == (file["bytes"], file["sha256"], b"glTF"), f"the output of {job_id} is damaged"

    def _check_announced(self, ids: Collection[str], unheard: Collection[str]) -> None:
        """Check that the outbox is empty, and that the end of each job was heard under one id."""
        query = (
            "SELECT id::text, job_id::text, type, published_at FROM events WHERE job_id = ANY(%s::uuid[]) "
            "AND type ~ '(succeeded|failed|cancelled|review)$'"
        )
        told = self.rows(query, list(ids))
        wait_until(lambda: all(row["published_at"] for row in self.rows(query, list(ids))), "the outbox is empty")
        silent = set(ids) - {row["job_id"] for row in told}
        assert not silent, f"no end is in the history of {silent}"
        expected = {(row["id"], row["type"], row["job_id"]) for row in told if row["job_id"] not in unheard}
        wait_until(lambda: expected <= self._heard(), "every end was heard, under the id it has in the outbox")
        known = {row["id"] for row in self.rows("SELECT id::text FROM events")}
        assert {each.id for each in self.witness.heard} <= known, "an event was heard that nobody wrote"

    def _heard(self) -> set[tuple[str, str, str | None]]:
        return {(each.id, each.type, each.subject) for each in self.witness.heard}


_SECRETS = {"the key": KEY, "a prompt": SECRET_PROMPT, "an image": tiny_image()[-40:], "a signed URL": SIGNED_URL}


def canonical(request_id: str) -> str:
    """Return an id in one writing: the history's may lack the dashes."""
    return request_id.replace("-", "").lower()


@cache
def model_of(seed: int) -> str:
    """Return the digest of the model that the vendor makes of the tests' photo with a seed."""
    made = make_files(base64.b64decode(tiny_image()), Hint(mask=None, box=None, points=()), seed)
    return hashlib.sha256(made.glb).hexdigest()


def prompt_of(job_id: str) -> str:
    """Return the prompt that a job was sent with: on the vendor's bill it names the job."""
    return f"{SECRET_PROMPT} {job_id}"


def request_of(job_id: str, **fields: Any) -> dict[str, Any]:
    """Return a job's request, whose prompt names it."""
    return {"image": tiny_image(), "prompt": prompt_of(job_id), "job_id": job_id, **fields}


def as_json(fields: dict[str, Any], key: str = "reconstruct") -> dict[str, Any]:
    """Make the plain request that any language can send."""
    body = json.dumps(fields).encode()
    return {
        "body": body,
        "exchange": "sam3d.inbox",
        "routing_key": key,
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }


def as_task(fields: dict[str, Any], name: str = "sam3d.reconstruct") -> dict[str, Any]:
    """Make the message that a Celery producer sends (Celery's documentation, "Message Protocol", version 2)."""
    task_id = str(uuid4())
    headers = {"lang": "py", "task": name, "id": task_id, "root_id": task_id, "retries": 0}
    return {
        "body": json.dumps([[], fields, {}]).encode(),
        "exchange": "",
        "routing_key": "sam3d.requests",
        "headers": headers,
        "correlation_id": task_id,
        "content_type": "application/json",
        "content_encoding": "utf-8",
    }
