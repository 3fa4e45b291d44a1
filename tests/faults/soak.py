"""The soak: a service under steady load while a seeded nemesis breaks what it stands on; ``make soak`` runs it.

``python -m tests.faults.soak --minutes 20 --seed 7``: exits with 1 if a job was lost, paid twice, left without its
output or its event, or if a log tells a secret.
"""

import argparse
import json
import logging
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import structlog

from tests.support.bad_vendor import CREDITS, LATEST_ROW_SECONDS
from tests.support.deployment import INTERVALS, Service, deployed
from tests.support.fleet import Fleet
from tests.support.judge import prompt_of
from tests.support.nemesis import Nemesis
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.services.zygote import Zygote
from tests.support.supervisor import EXPECTED, Supervisor
from tests.support.traffic import Traffic
from tests.support.verdict import Allowed, Database, Verdict, judge
from tests.support.witness import Witness
from worker.database.schema import upgrade
from worker.simulator import Simulator, SimulatorSettings

VHOST = "soak"
RECORD_SECONDS = 300
"""The vendor's hour, after which it forgets runs, those that never end as well."""

SETTINGS = {
    **INTERVALS,
    "SAM3D_DOWNLOAD_DEADLINE": "5",
    "SAM3D_RECONCILE_SETTLE": str(1.5 * LATEST_ROW_SECONDS),
    "SAM3D_RECONCILE_DEADLINE": "60",
    "SAM3D_RECORD_LIFETIME": str(RECORD_SECONDS),
    "SAM3D_SUBMIT_SERVER_ERROR": "review",
    "SAM3D_REQUESTS_PER_MINUTE": "100000",  # Enough for all of it, and each request draws its slot.
}
JOBS_PER_SECOND = 4.0
ARMED_SHARE = 0.3
DRAIN_SECONDS = 900.0
"""The last run that never ends is forgotten by then, and the last row that was late has settled."""

log = structlog.get_logger(__name__)


@dataclass
class Soak:
    """Everything that runs during a soak."""

    service: Service
    fleet: Fleet
    simulator: Simulator
    database: Database
    witness: Witness
    supervisor: Supervisor
    traffic: Traffic
    nemesis: Nemesis


@contextmanager
def prepared(seed: int, logs: Path, jobs_per_second: float) -> Iterator[Soak]:
    """Give a deployment of which nothing runs yet, and end it."""
    vendor = SimulatorSettings.model_validate(
        {"run_time": 1.5, "credits": CREDITS, "seed": seed, "record_seconds": RECORD_SECONDS}
    )
    with (
        PrivatePostgres() as postgres,
        PrivateRabbit() as rabbitmq,
        Simulator(vendor) as simulator,
        deployed(rabbitmq.create_vhost(VHOST), _database(postgres), simulator, logs, None, **SETTINGS) as service,
        Zygote() as zygote,
        Fleet(service, zygote) as fleet,
    ):
        database, broker_url = Database(service.environment["SAM3D_DATABASE_URL"]), rabbitmq.url_of(VHOST)
        traffic = Traffic(broker_url, database.accepted, random.Random(f"traffic {seed}"), jobs_per_second)
        chance = random.Random(f"nemesis {seed}")
        yield Soak(
            service=service,
            fleet=fleet,
            simulator=simulator,
            database=database,
            witness=Witness(broker_url),
            supervisor=Supervisor(fleet, random.Random(f"supervisor {seed}"), ARMED_SHARE),
            traffic=traffic,
            nemesis=Nemesis(fleet, rabbitmq, postgres, simulator, traffic, database, VHOST, chance),
        )


def _database(postgres: PrivatePostgres) -> str:
    url = postgres.create_database("soak")
    upgrade(url)
    return url


def run(soak: Soak, seconds: float) -> dict[str, Any]:
    """Break things while jobs come in, then heal everything and wait for the end of all; return what was counted."""
    began = time.monotonic()
    soak.witness.start()
    soak.supervisor.start()
    soak.traffic.start()
    while time.monotonic() < began + seconds:
        soak.nemesis.pause()
        soak.nemesis.strike()
    soak.nemesis.heal()
    soak.supervisor.heal()
    soak.traffic.stop()
    healed = time.monotonic()
    reviewed = drain(soak)
    drained = time.monotonic() - healed
    soak.traffic.end()
    soak.supervisor.stop()
    soak.witness.stop()
    return {
        "jobs": len(soak.traffic.sent),
        "jobs a minute": round(len(soak.traffic.sent) / seconds * 60),
        "seconds until all had ended": round(drained, 1),
        "resolved in review": dict(reviewed),
        "sent": dict(soak.traffic.counts),
        "faults": dict(soak.nemesis.struck.most_common()),
        "processes": dict(soak.supervisor.exits.most_common()),
    }


def drain(soak: Soak) -> Counter[str]:
    """Wait until every job has ended and the outbox is empty, deciding what is in review as an operator would."""
    reviewed: Counter[str] = Counter()
    ends_at = time.monotonic() + DRAIN_SECONDS
    waiting: Counter[str] = Counter()
    while time.monotonic() < ends_at:
        with suppress(psycopg.Error):
            waiting = soak.database.waiting()
            if not waiting and soak.traffic.is_all_accepted:
                return reviewed
            if set(waiting) <= {"review", "events"}:
                reviewed += resolve_reviews(soak)
        time.sleep(0.5)
    log.error("not_drained", waiting=dict(waiting), is_all_accepted=soak.traffic.is_all_accepted)
    return reviewed


def resolve_reviews(soak: Soak) -> Counter[str]:
    """Decide each job in review by the vendor's bill: adopt the run that is on it, or submit again."""
    decided: Counter[str] = Counter()
    runs = {run["prompt"]: run["request_id"] for run in soak.simulator.ledger()}
    for row in soak.database.rows("SELECT id::text, error_code FROM jobs WHERE state = 'review'"):
        request_id = runs.get(prompt_of(row["id"]))
        what = ["--adopt", request_id] if request_id else ["--resubmit"]
        code = soak.fleet.start("operator", "review", row["id"], *what).wait(60)
        decided[f"{row['error_code']} {what[0]}{' refused' if code else ''}"] += 1
    return decided


def told(seed: int, counted: dict[str, Any], verdict: Verdict, logs: Path) -> dict[str, Any]:
    """Return the report."""
    odd = {name: count for name, count in counted["processes"].items() if int(name.split()[-1]) not in EXPECTED}
    return {
        "seed": seed,
        "good": verdict.is_good,
        "lost": verdict.lost,
        "paid twice": verdict.paid_twice,
        "strangers' models": verdict.strangers,
        "failed without a cause": verdict.failed_without_cause,
        "outputs missing": verdict.outputs_missing,
        "events missing": verdict.events_missing,
        "secrets told": verdict.secrets_told,
        **counted,
        **verdict.observed,
        "processes that ended unasked": odd,
        "failpoints struck": dict(struck_in(logs).most_common()),
        "errors logged": dict(errors_in(logs).most_common(30)),
    }


def lines_in(logs: Path) -> Iterator[dict[str, Any]]:
    """Read what the processes logged; what a library printed by itself is left out."""
    for path in logs.glob("*.log"):
        with path.open(errors="replace") as log_file:
            for text in log_file:
                with suppress(ValueError):
                    yield json.loads(text)


def errors_in(logs: Path) -> Counter[str]:
    """Count what was logged as an error, by its first words."""
    grave = [line for line in lines_in(logs) if line.get("level") in {"error", "critical"}]
    return Counter(re.sub(r"\d+", "…", str(line.get("event")))[:60] for line in grave)


def struck_in(logs: Path) -> Counter[str]:
    """Count the failpoints that were reached and struck."""
    struck = [line for line in lines_in(logs) if line.get("event") == "failpoint_struck"]
    return Counter(f"{line['failpoint']} {line['action']}" for line in struck)


def show(report: dict[str, Any]) -> None:
    """Print the report: a line a number, lists by their length and first few."""
    for name, value in report.items():
        if isinstance(value, list):
            print(f"{name:30} {len(value)} {' · '.join(map(str, value[:5]))}".rstrip())
        elif isinstance(value, dict):
            print(f"{name:30} " + " · ".join(f"{each} {count}" for each, count in value.items()))
        else:
            print(f"{name:30} {value}")


def main() -> None:
    """Run a soak and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=float, default=JOBS_PER_SECOND, help="jobs a second; fewer on a busy machine")
    parser.add_argument("--json", type=Path, help="write the report here as well")
    asked = parser.parse_args()
    logs = Path(tempfile.mkdtemp(prefix="sam3d-soak-"))
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # Killed clients are no news.
    print(f"soak of {asked.minutes:g} minutes, seed {asked.seed}, logs in {logs}", flush=True)

    with prepared(asked.seed, logs, asked.rate) as soak:
        counted = run(soak, asked.minutes * 60)
        allowed = Allowed(soak.nemesis.vendor.poisoned, soak.nemesis.cancelled, soak.nemesis.broker_lost)
        verdict = judge(soak.traffic.sent, soak.database, soak.simulator.ledger(), soak.witness.heard, allowed, logs)
    report = told(asked.seed, counted, verdict, logs)
    show(report)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2))
    if verdict.is_good:
        shutil.rmtree(logs)
    sys.exit(0 if verdict.is_good else 1)


if __name__ == "__main__":
    main()
