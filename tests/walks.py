"""The files of ``worker/`` that a job enters, in order: a whole job's, a lost answer's, a 429's.

``make docs`` measures them and writes them to ``docs/architecture.md``.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import FrameType
from uuid import uuid4

from kombu.message import Message
from pydantic import SecretStr
from sqlalchemy import text

import worker
from tests.support.services.postgres import PrivatePostgres
from worker.app import App, create_app
from worker.broker.topology import RECONSTRUCT_TASK, REQUESTS, queue_name
from worker.config.environment import Settings
from worker.database import reading
from worker.database.engine import transaction
from worker.database.schema import upgrade
from worker.intake.prepare import prepare_request
from worker.rules.lifecycle import DRIVEN_BY, JobState, Step
from worker.simulator import Simulator, SimulatorSettings
from worker.upkeep.lookup import Lookup
from worker.upkeep.reconcile import reconcile

ROOT = Path(worker.__file__).parent
NOT_OURS = ROOT / "simulator"

_MOST_STEPS = 10
"""More than any way has."""


class Walk:
    """The files that were entered, in order, each with whether it called another; a stage has those that are new."""

    def __init__(self) -> None:
        self.leads_on: dict[str, bool] = {}
        self.stages: dict[str, list[str]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Take down what this thread enters."""
        before = len(self.leads_on)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
        self.stages.setdefault(name, []).extend(list(self.leads_on)[before:])

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        file = _file_of(frame)
        if event != "call" or file is None or frame.f_code.co_name == "<module>":
            return
        self.leads_on.setdefault(file, False)
        before = _file_of(frame.f_back) if frame.f_back else None
        if before and before != file:
            self.leads_on[before] = True

    def __len__(self) -> int:
        return len(self.leads_on)


def _file_of(frame: FrameType) -> str | None:
    return _ours(frame.f_code.co_filename)


@cache
def _ours(file: str) -> str | None:
    path = Path(file)
    is_ours = path.is_relative_to(ROOT) and not path.is_relative_to(NOT_OURS)
    return str(path.relative_to(ROOT)) if is_ours else None


class Walker:
    """A job whose messages are given to the tasks by hand, each when it is due."""

    def __init__(self, app: App, photo: Path = ROOT / "photos" / "cat.png") -> None:
        self._app = app
        self._job_id = str(uuid4())
        self.request = _request(self._job_id, photo)

    def next_step(self) -> Step | None:
        """Return the step that the job waits for."""
        return DRIVEN_BY[JobState(str(self._row["state"]))]

    @property
    def _row(self) -> Mapping[str, object]:
        with transaction(self._app.services.engine) as connection:
            row = reading.job_row(connection, self._job_id)
        assert row
        return row

    def accept(self) -> None:
        """Give the request to its task; without slots its submit is left to a message."""
        self._app.tasks[RECONSTRUCT_TASK](self.request)

    def due(self) -> Mapping[str, object]:
        """Make the next step due, and return what its message says."""
        with transaction(self._app.services.engine) as connection:
            connection.execute(text("UPDATE jobs SET due_at = sam3d_now() WHERE id = :id"), {"id": self._job_id})
        return {"job_id": self._job_id, "version": self._row["version"]}

    def walk(self, walk: Walk) -> Walk:
        """Go the job's whole way."""
        with walk.stage("accept"):
            self.accept()
        for _ in range(_MOST_STEPS):
            step = self.next_step()
            if step is None:
                return walk
            self.walk_step(walk, step)
        raise AssertionError("The job goes round in circles.")

    def walk_step(self, walk: Walk, step: Step) -> None:
        """Take one step."""
        task, fields = self._app.tasks[queue_name(step)], self.due()
        with walk.stage(step):
            task(**fields)


def _request(job_id: str, photo: Path) -> Message:
    fields = {**prepare_request(photo), "job_id": job_id}
    return Message(
        body=json.dumps([[], fields, {}]),
        headers={"task": RECONSTRUCT_TASK, "id": job_id},
        delivery_info={"exchange": "", "routing_key": REQUESTS},
        content_type="application/json",
        content_encoding="utf-8",
    )


def measured(app: App, simulator: Simulator) -> Mapping[str, Walk]:
    """Walk the three ways, in a process that has learnt already what it goes by."""
    Walker(app).walk(Walk())
    app.services.outlook._stale_at = float("inf")
    whole = Walker(app).walk(Walk())
    return {"job": whole, "lost-answer": _lost_answer(app, simulator), "limited": _limited(app, simulator)}


def _lost_answer(app: App, simulator: Simulator) -> Walk:
    """Walk from a submit whose answer is lost to the message that goes on with its run."""
    walk, lost = Walk(), Walker(app)
    lost.accept()
    simulator.add_fault(call="submit", kind="drop_answer", count=1)
    lost.walk_step(walk, Step.SUBMIT)
    assert lost.next_step() is None
    with walk.stage("reconcile"):
        settled = reconcile(app.services, Lookup(app.services))
        app.services.post.deliver(settled, lambda: None)
    assert lost.next_step() is Step.POLL
    return walk


def _limited(app: App, simulator: Simulator) -> Walk:
    """Walk from a submit that is answered 429 to the message that sends it again."""
    walk, refused = Walk(), Walker(app)
    refused.accept()
    simulator.add_fault(call="submit", kind="status", http_status=429, count=1)
    refused.walk_step(walk, Step.SUBMIT)
    assert refused.next_step() is Step.SUBMIT
    return walk


def walked_anew() -> Mapping[str, str]:
    """Walk in a service of our own, on a PostgreSQL of our own, and write it."""
    with PrivatePostgres() as server, Simulator(SimulatorSettings.model_validate({"run_time": 0})) as simulator:
        url = server.create_database("walks")
        upgrade(url)
        settings = Settings().having(
            SEGMIND_API_KEY=SecretStr("SG_0123456789abcdef"),
            SEGMIND_BASE_URL=simulator.url,
            SEGMIND_ACCOUNT_URL=simulator.url,
            SAM3D_BROKER_URL=SecretStr("memory://walks"),
            SAM3D_DATABASE_URL=SecretStr(url),
            SAM3D_OUTPUT_HOSTS=(simulator.url,),
            SAM3D_EXPECTED_RUN=timedelta(0),
        )
        app = create_app(settings)
        walked = written(measured(app, simulator))
        app.close()
        return walked


def written(walks: Mapping[str, Walk]) -> Mapping[str, str]:
    """Write the walks in Markdown, the second and third as what is new in them."""
    known = list(walks["job"].leads_on)
    return {name: listed(walk, () if name == "job" else known) for name, walk in walks.items()}


def listed(walk: Walk, known: Sequence[str] = ()) -> str:
    """Write a walk in Markdown, a stage a list and a file a line, without the files that are known already."""
    new = {stage: [each for each in files if each not in known] for stage, files in walk.stages.items()}
    beside = f" {sum(map(len, new.values()))} of them for the first time." if known else ""
    stages = [_stage(walk, name, files) for name, files in new.items()]
    return "\n\n".join([f"{len(walk)} files are entered.{beside}", *stages])


def _stage(walk: Walk, name: str, files: Sequence[str]) -> str:
    lines = [f"{number}. {_shown(file, leads_on=walk.leads_on[file])}" for number, file in enumerate(files, 1)]
    return "\n".join([f"`{name}`:", "", *lines])


def _shown(file: str, *, leads_on: bool) -> str:
    name = f"[`{file.removesuffix('.py')}`](../worker/{file})"
    return f"{f'**{name}**' if leads_on else name}: {_said_of(ROOT / file)}"


def _said_of(file: Path) -> str:
    """Return what its folder's map says of a file."""
    said = re.search(rf"^``{file.stem}`` +(.*)$", (file.parent / "__init__.py").read_text(), re.MULTILINE)
    assert said, f"{file} has no line in its map"
    return said[1].replace("``", "`")
