"""Breaks one thing after the other, chosen by a seed: processes, the broker, the database, the vendor."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from tests.acceptance.conftest import KEY
from tests.faults.fleet import Fleet
from tests.faults.supervisor import ROLES
from tests.services.postgres import PrivatePostgres
from tests.services.rabbitmq import PrivateRabbit
from worker.simulator import Simulator

CREDITS = 1_000_000.0
STARTS = ({"starts_run": True}, {"starts_run": False})
SUBMIT_FAULTS: list[dict[str, Any]] = [
    *({"kind": kind, **starts} for kind in ("reset", "hang") for starts in STARTS),
    *({"kind": "status", "http_status": code, **starts} for code in (500, 502, 504) for starts in STARTS),
    *({"kind": kind} for kind in ("drop_answer", "html", "wrong_json", "broken_json", "truncate", "missing_id")),
    *({"kind": kind} for kind in ("empty", "slow_bytes", "slow_headers", "unknown_status", "fail_job", "never_ends")),
    {"kind": "status", "http_status": 429, "starts_run": False},
    {"kind": "redirect", "url": "http://127.0.0.1:9/", "starts_run": False},
]
READ_FAULTS: list[dict[str, Any]] = [
    *({"kind": "status", "http_status": code} for code in (429, 500, 502, 504)),
    *({"kind": kind} for kind in ("reset", "drop_answer", "hang", "html", "wrong_json", "broken_json", "truncate")),
    *({"kind": kind} for kind in ("empty", "slow_bytes", "slow_headers")),
]
FAULTS_OF_A_CALL: Mapping[str, list[dict[str, Any]]] = {
    "submit": SUBMIT_FAULTS,
    "status": [*READ_FAULTS, {"kind": "unknown_status"}, {"kind": "missing_id"}, {"kind": "gone"}],
    "result": [*READ_FAULTS, {"kind": "gone"}],
    "download": [*({"kind": kind} for kind in ("reset", "truncate", "hang", "slow_bytes", "wrong_magic", "empty"))],
    "history": [*READ_FAULTS, {"kind": "gone"}],
}
"""What the vendor can do wrong; faults that make a good run end as failed by contract are left out."""

log = structlog.get_logger(__name__)


class Nemesis:
    """Chooses faults by their weights; each is over, or will be healed, when its time has come."""

    def __init__(
        self,
        fleet: Fleet,
        rabbitmq: PrivateRabbit,
        postgres: PrivatePostgres,
        simulator: Simulator,
        vhost: str,
        chance: random.Random,
    ) -> None:
        self.struck: Counter[str] = Counter()
        self.broker_lost: list[tuple[float, float]] = []  # When the broker forgot what it had, seconds since the epoch.
        self._fleet = fleet
        self._rabbitmq = rabbitmq
        self._postgres = postgres
        self._simulator = simulator
        self._vhost = vhost
        self._chance = chance
        self._heals: list[tuple[float, Callable[[], object]]] = []
        self._faults: Mapping[Callable[[], str], float] = {
            self._kill: 14,
            self._freeze: 8,
            self._terminate: 6,
            self._restart_broker: 2,
            self._kill_broker: 2,
            self._freeze_broker: 4,
            self._alarm_broker: 2,
            self._close_connections: 6,
            self._purge_queue: 4,
            self._delete_queue: 4,
            self._delete_vhost: 1.5,
            self._restart_database: 4,
            self._freeze_database: 2,
            self._spoil_a_call: 30,
            self._exhaust_credits: 2,
            self._revoke_key: 2,
            self._limit_requests: 0.5,
            self._hide_history: 2,
        }

    def strike(self) -> None:
        """Do the next thing."""
        self._heal_what_is_due(time.monotonic())
        fault = self._chance.choices(list(self._faults), list(self._faults.values()))[0]
        name = fault()
        self.struck[name] += 1
        log.info("nemesis_struck", fault=name)

    def pause(self) -> None:
        """Let the service work for some seconds."""
        time.sleep(self._chance.uniform(1.0, 5.0))

    def heal(self) -> None:
        """Undo everything."""
        self._heal_what_is_due(float("inf"))
        self._rabbitmq.heal()
        self._rabbitmq.clear_alarms()
        self._postgres.heal()
        self._simulator.clear_faults()

    def _heal_what_is_due(self, now: float) -> None:
        due = [heal for at, heal in self._heals if at <= now]
        self._heals = [each for each in self._heals if each[0] > now]
        for heal in due:
            heal()

    def _heal_after(self, shortest: float, longest: float, heal: Callable[[], object]) -> None:
        self._heals.append((time.monotonic() + self._chance.uniform(shortest, longest), heal))

    def _signal(self, number: signal.Signals, names: list[str]) -> str:
        name = self._chance.choice(names)
        if name in self._fleet.processes:
            self._fleet.processes[name].send_signal(number)
        return f"{number.name} to a {name.partition('-')[0]}"

    def _kill(self) -> str:
        return self._signal(signal.SIGKILL, list(ROLES))

    def _freeze(self) -> str:
        return self._signal(signal.SIGSTOP, list(ROLES))

    def _terminate(self) -> str:
        return self._signal(signal.SIGTERM, list(ROLES))

    def _restart_broker(self) -> str:
        self._rabbitmq.restart()
        return "broker restarted"

    def _kill_broker(self) -> str:
        self._rabbitmq.settle()
        self._rabbitmq.kill()
        time.sleep(self._chance.uniform(0, 3))
        self._rabbitmq.start()
        return "broker killed"

    def _freeze_broker(self) -> str:
        self._rabbitmq.freeze()
        time.sleep(self._chance.uniform(1, 12))
        self._rabbitmq.thaw()
        return "broker frozen"

    def _alarm_broker(self) -> str:
        raise_alarm = self._chance.choice((self._rabbitmq.raise_memory_alarm, self._rabbitmq.raise_disk_alarm))
        raise_alarm()
        time.sleep(self._chance.uniform(1, 8))
        self._rabbitmq.clear_alarms()
        return "broker alarmed"

    def _close_connections(self) -> str:
        self._rabbitmq.close_connections()
        return "broker's connections closed"

    def _some_queue(self) -> str:
        names = [queue.name for queue in self._rabbitmq.queues(self._vhost) if queue.name.startswith("sam3d.")]
        return self._chance.choice(sorted(names) or ["sam3d.poll"])

    def _on_queue(self, call: str) -> None:
        resource = f'rabbit_misc:r(<<"{self._vhost}">>, queue, <<"{self._some_queue()}">>)'
        self._rabbitmq._call(f"catch begin {{ok, Q}} = rabbit_amqqueue:lookup({resource}), {call} end, true")

    def _purge_queue(self) -> str:
        self._on_queue("rabbit_amqqueue:purge(Q)")
        return "queue purged"

    def _delete_queue(self) -> str:
        self._on_queue('rabbit_amqqueue:delete(Q, false, false, <<"tests">>)')
        return "queue deleted"

    def _delete_vhost(self) -> str:
        began = time.time()
        self._rabbitmq.delete_vhost(self._vhost)
        time.sleep(self._chance.uniform(0, 3))
        self._rabbitmq.create_vhost(self._vhost)
        self.broker_lost.append((began - 2, time.time() + 1))
        return "virtual host deleted"

    def _restart_database(self) -> str:
        self._postgres.stop(immediate=True)
        time.sleep(self._chance.uniform(0, 3))
        self._postgres.start()
        return "database restarted"

    def _freeze_database(self) -> str:
        self._postgres.freeze()
        time.sleep(self._chance.uniform(1, 8))
        self._postgres.thaw()
        return "database frozen"

    def _spoil_a_call(self) -> str:
        call = self._chance.choice(sorted(FAULTS_OF_A_CALL))
        rule = self._chance.choice(FAULTS_OF_A_CALL[call])
        self._simulator.add_fault(call=call, count=self._chance.randint(1, 4), rate=0.7, **rule)
        return f"vendor: {call} {rule.get('http_status') or rule['kind']}"

    def _set_for_a_while(self, longest: float, during: dict[str, Any], after: dict[str, Any]) -> None:
        self._simulator.update(**during)
        self._heal_after(2, longest, lambda: self._simulator.update(**after))

    def _exhaust_credits(self) -> str:
        self._set_for_a_while(12, {"credits": 0.0}, {"credits": CREDITS})
        return "vendor: no credits"

    def _revoke_key(self) -> str:
        self._set_for_a_while(12, {"revoked_keys": (KEY,)}, {"revoked_keys": ()})
        return "vendor: key revoked"

    def _limit_requests(self) -> str:
        self._set_for_a_while(10, {"requests_per_minute": 20}, {"requests_per_minute": None})
        return "vendor: request limit"

    def _hide_history(self) -> str:
        self._set_for_a_while(10, {"history_available": False}, {"history_available": True})
        return "vendor: no history"
